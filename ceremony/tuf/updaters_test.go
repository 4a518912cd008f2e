package tuf

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

// person holds a root key and a targets key.
type person struct{ root, targets *maker }

func personNumbered(n int) person { return person{make25519(300 + n), make25519(320 + n)} }

// The online keys, and that of a project to which targets delegates.
var onlineMaker, projectMaker = make25519(340), make25519(341)

// repository is what a server has in its folder, as far as a client may fetch it.
type repository struct {
	t       *testing.T
	expires time.Time
	files   map[string][]byte // by path
	roots   []*Root
	people  []person // of the newest root
	targets *Targets // the newest
	project int64    // version of the project's metadata
	version int64    // of snapshot and timestamp
}

// contents are the target files: one that targets lists itself, and one of the project's.
var contents = map[string]string{"README.txt": "read me", "packages/foo.whl": "a wheel"}

// put writes metadata with the names by which clients fetch it.
func (r *repository) put(role string, version int64, data []byte) {
	r.files[fmt.Sprintf("metadata/%d.%s.json", version, role)] = data
}

// root publishes the next root, with these people in both roles, signed by people of the
// one before and of its own.
func (r *repository) root(people, signers []person) {
	r.t.Helper()
	root := &Root{Version: int64(len(r.roots) + 1), Expires: r.expires, SpecVersion: SpecVersion, ConsistentSnapshot: true,
		Keys:  []Key{onlineMaker.key},
		Roles: map[string]Role{RoleSnapshot: roleOf(1, onlineMaker), RoleTimestamp: roleOf(1, onlineMaker)}}
	var holders, packagers, sign []*maker
	for _, p := range people {
		holders, packagers = append(holders, p.root), append(packagers, p.targets)
		root.Keys = append(root.Keys, p.root.key, p.targets.key)
	}
	for _, p := range signers {
		sign = append(sign, p.root)
	}
	root.Roles[RoleRoot], root.Roles[RoleTargets] = roleOf(2, holders...), roleOf(2, packagers...)
	var before []*Root
	if n := len(r.roots); n > 0 {
		before = r.roots[n-1:]
	}
	data, err := Assemble(root, signAll(root.Canonical(), sign...), before...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.roots, r.people = append(r.roots, root), people
	r.put(RoleRoot, root.Version, data)
}

// publish signs the next targets with the targets keys of these people, and the online
// metadata after it.
func (r *repository) publish(signers ...person) {
	r.t.Helper()
	var sign []*maker
	var list []Key
	for _, p := range signers {
		sign, list = append(sign, p.targets), append(list, p.targets.key)
	}
	next := &Targets{Version: 1, SpecVersion: SpecVersion, Targets: []Target{target("README.txt", contents["README.txt"])},
		Delegations: delegating(Delegation{Name: "claimed", Role: roleOf(1, projectMaker), Terminating: true, Paths: []string{"packages/*"}})}
	if r.targets != nil {
		next = r.targets.Next()
	}
	next.Expires = r.expires
	data, err := AssembleTargets(next, signAll(next.Canonical(), sign...), list, r.targets)
	if err != nil {
		r.t.Fatal(err)
	}
	r.targets = next
	r.put(RoleTargets, next.Version, data)
	r.claimed(projectMaker)
	r.online()
}

// claimed is the project's next metadata, signed by a key.
func (r *repository) claimed(by *maker) {
	r.t.Helper()
	r.project++
	t := &Targets{Version: r.project, Expires: r.expires, SpecVersion: SpecVersion, Targets: []Target{target("packages/foo.whl", contents["packages/foo.whl"])}}
	data, err := AssembleTargets(t, signAll(t.Canonical(), by), []Key{by.key}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.put("claimed", r.project, data)
}

// online signs the next snapshot and timestamp.
func (r *repository) online() {
	r.version++
	sign := func(kind, meta string) []byte {
		text := fmt.Sprintf(`{"_type":%q,"expires":%q,"meta":{%s},"spec_version":%q,"version":%d}`, kind, r.expires.Format(time.RFC3339), meta, SpecVersion, r.version)
		return file(text, signAll([]byte(canonicalText(text)), onlineMaker))
	}
	r.put(RoleSnapshot, r.version, sign("snapshot", fmt.Sprintf(`"claimed.json":{"version":%d},"targets.json":{"version":%d}`, r.project, r.targets.Version)))
	r.files["metadata/timestamp.json"] = sign("timestamp", fmt.Sprintf(`"snapshot.json":{"version":%d}`, r.version))
}

// frozen is the folder as it is now.
func (r *repository) frozen() map[string][]byte { return maps.Clone(r.files) }

// updated is what came of an update: what the last one said, "" where nothing was wrong,
// and the content of the files that were then found.
type updated struct {
	Problem string
	Found   map[string][]byte
}

// goUpdater has go-tuf's updater, which trusts a root, update from one server after the
// other.
func goUpdater(t *testing.T, root []byte, urls, paths []string) (o updated) {
	dir := t.TempDir()
	for _, url := range urls {
		o = updated{Found: map[string][]byte{}}
		cfg := must(config.New(url+"/metadata", root))
		cfg.RemoteTargetsURL, cfg.LocalMetadataDir, cfg.LocalTargetsDir = url+"/targets", filepath.Join(dir, "metadata"), filepath.Join(dir, "targets")
		cfg.Fetcher = fetcher.NewDefaultFetcher()
		up, err := updater.New(cfg)
		if err == nil {
			err = up.Refresh()
		}
		for _, name := range paths {
			if err != nil {
				break
			}
			info, missing := up.GetTargetInfo(name)
			if missing != nil {
				err = missing
				break
			}
			var data []byte
			if _, data, err = up.DownloadTarget(info, filepath.Join(dir, "download"), ""); err == nil {
				o.Found[name] = data
			}
			_ = os.Remove(filepath.Join(dir, "download"))
		}
		if err != nil {
			o.Problem = err.Error()
		}
	}
	return o
}

// The updaters of go-tuf 2 and of both versions of tuf-js, and not their parsers alone,
// find files through root, targets and a terminating delegation: from every older root,
// and with what they had stored, through two rotations and the revocation of a person who
// was in both roles. What that person and one who left sign afterwards they refuse, and
// what others sign in the project's name.
func TestUpdaters(t *testing.T) {
	p := []person{personNumbered(0), personNumbered(1), personNumbered(2), personNumbered(3), personNumbered(4)}
	r := &repository{t: t, expires: time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second), files: map[string][]byte{}}
	for name, content := range contents {
		r.files[path.Join("targets", path.Dir(name), fmt.Sprintf("%x.%s", sha256.Sum256([]byte(content)), path.Base(name)))] = []byte(content)
	}
	served := map[string]map[string][]byte{}
	var stages []string
	stage := func(name string) { served[name], stages = r.frozen(), append(stages, name) }

	r.root(p[:3], p[:2])
	r.publish(p[0], p[1])
	stage("first")
	r.root([]person{p[0], p[1], p[3]}, []person{p[0], p[1]}) // the third person leaves, and another comes
	r.publish(p[1], p[3])
	stage("rotated")
	r.root(r.people, []person{p[0], p[1]})
	r.publish(p[0], p[3])
	stage("renewed")
	r.root([]person{p[0], p[3], p[4]}, []person{p[0], p[3]}) // the second person's keys are stolen, both
	r.publish(p[0], p[4])
	stage("revoked")

	good := *r
	attack := func(name string, change func(r *repository)) {
		attacked := good
		attacked.files = maps.Clone(good.files)
		change(&attacked)
		served[name] = attacked.frozen()
	}
	attack("bad: signed by those who are gone", func(r *repository) { r.publish(p[1], p[2]) })
	attack("bad: signed by one who stays and one who is gone", func(r *repository) { r.publish(p[0], p[1]) })
	attack("bad: signed with root keys", func(r *repository) {
		r.publish(person{targets: p[0].root}, person{targets: p[3].root})
	})
	attack("bad: a wheel of somebody else", func(r *repository) {
		r.claimed(onlineMaker)
		r.online()
	})

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		name, file, _ := strings.Cut(strings.TrimPrefix(request.URL.Path, "/"), "/")
		data, there := served[name][file]
		if !there {
			http.NotFound(w, request)
			return
		}
		_, _ = w.Write(data)
	}))
	defer server.Close()
	address := func(name string) string { return server.URL + "/" + strings.ReplaceAll(name, " ", "%20") }

	type asked struct {
		Root  []byte   `json:"root"`
		URLs  []string `json:"urls"`
		Paths []string `json:"paths"`
	}
	paths := slices.Sorted(maps.Keys(contents))
	all := map[string]asked{}
	for n, name := range stages {
		for v := range n + 1 {
			all[fmt.Sprintf("%s, from root %d", name, v+1)] = asked{r.files[fmt.Sprintf("metadata/%d.root.json", v+1)], []string{address(name)}, paths}
		}
	}
	var onward []string
	for _, name := range stages {
		onward = append(onward, address(name))
	}
	all["all, one after the other"] = asked{r.files["metadata/1.root.json"], onward, paths}
	for name := range served {
		if strings.HasPrefix(name, "bad") {
			all[name] = asked{r.files["metadata/1.root.json"], []string{address(name)}, paths}
			all[name+", after all was well"] = asked{r.files["metadata/1.root.json"], append(slices.Clone(onward), address(name)), paths}
		}
	}
	var js map[string]map[string]updated
	askJS(t, "updater.cjs", all, &js)
	if len(js) != 2 {
		t.Fatalf("%d versions of tuf-js", len(js))
	}
	for name, a := range all {
		opinions := map[string]updated{clients[0]: goUpdater(t, a.Root, a.URLs, a.Paths)}
		for _, client := range clients[2:] {
			opinions[client] = js[client][name]
		}
		for client, o := range opinions {
			if bad := strings.HasPrefix(name, "bad"); bad != (o.Problem != "") {
				t.Errorf("%s: %s: %q", name, client, o.Problem)
			} else if bad && o.Found["packages/foo.whl"] != nil {
				t.Errorf("%s: %s: found the wheel", name, client)
			}
			for file, content := range contents {
				if o.Problem == "" && !bytes.Equal(o.Found[file], []byte(content)) {
					t.Errorf("%s: %s: %s: %q", name, client, file, o.Found[file])
				}
			}
		}
	}
	if len(all) != 1+2+3+4+1+2*4 {
		t.Errorf("%d cases", len(all))
	}
}
