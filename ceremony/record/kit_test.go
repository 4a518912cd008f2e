package record

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

func makeKit(t testing.TB, k KitFacts) map[string][]byte {
	t.Helper()
	files, err := Kit(k)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string][]byte{}
	for _, f := range files {
		byName[f.Name] = f.Text
	}
	if len(byName) != 4 || len(files) != 4 {
		t.Fatalf("%d files", len(files))
	}
	return byName
}

func TestKitGolden(t *testing.T) {
	rehearsal := newRoot(2)
	rehearsal.SetRehearsal(true)
	second := newRoot(2).Next()
	second.Expires = expiry
	for name, k := range map[string]KitFacts{
		"first":     {Project: "Example packages", Root: signed(t, newRoot(2))},
		"rotated":   {Project: "Example packages", Root: signed(t, second), First: 1},
		"repin":     {Project: "Example packages", Root: signed(t, newRoot(2)), Repin: true},
		"rehearsal": {Project: "Example packages", Root: signed(t, rehearsal)},
	} {
		t.Run(name, func(t *testing.T) {
			kit := makeKit(t, k)
			if !bytes.Equal(kit[rootFile], k.Root) {
				t.Error("root.json is not what was published")
			}
			delete(kit, rootFile)
			for file, text := range kit {
				golden(t, "kit/"+name+"/"+file, text)
				if marked := bytes.Contains(text, []byte("REHEARSAL")); marked != (name == "rehearsal") {
					t.Errorf("%s, %s: marked as a rehearsal's: %v", name, file, marked)
				}
				if repin := bytes.Contains(text, []byte("Re-pinning")); repin != (name == "repin" && file == embedFile) {
					t.Errorf("%s, %s: speaks of re-pinning: %v", name, file, repin)
				}
			}
		})
	}
}

// What people compare fits what is there: sha256sum says so itself, and every
// word stands at its place.
func TestKitSums(t *testing.T) {
	rehearsal := newRoot(2)
	rehearsal.SetRehearsal(true)
	for _, root := range []*tuf.Root{newRoot(2), rehearsal} {
		kit, dir := makeKit(t, KitFacts{Project: "Example", Root: signed(t, root)}), t.TempDir()
		for name, text := range kit {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		sum := exec.Command("sha256sum", "-c", "--strict", sumFile)
		sum.Dir = dir
		if out, err := sum.CombinedOutput(); err != nil || string(out) != "root.json: OK\n" {
			t.Errorf("%s%v", out, err)
		}
		digest := sha256.Sum256(kit[rootFile])
		var spoken []string
		fields := strings.Fields(string(kit[WordsFile]))
		for i, word := range fields {
			if i > 0 && fields[i-1] == fmt.Sprint(len(spoken)+1) {
				spoken = append(spoken, word)
			}
		}
		if want := keys.Words(digest[:]); strings.Join(spoken, " ") != strings.Join(want, " ") {
			t.Errorf("%v\nwant %v", spoken, want)
		}
		embedded := string(kit[embedFile])
		inner := sha256.Sum256(root.Canonical())
		for _, want := range []string{hex.EncodeToString(digest[:]), hex.EncodeToString(inner[:]), "version 1", day(expiry)} {
			if !strings.Contains(embedded, want) {
				t.Errorf("%s is not in EMBED.md", want)
			}
		}
	}
}

func TestKitRefuses(t *testing.T) {
	good := signed(t, newRoot(2))
	unsigned := must(tuf.Assemble(newRoot(2), nil))
	for want, k := range map[string]KitFacts{
		"cannot be read":              {Root: []byte("{")},
		"not signed by enough keys":   {Root: unsigned},
		"cannot begin with version 2": {Root: good, First: 2},
	} {
		t.Run(want, func(t *testing.T) {
			if files, err := Kit(k); err == nil || !strings.Contains(err.Error(), want) || files != nil {
				t.Error(err)
			}
		})
	}
}

// A project's name cannot break out of the kit's texts.
func TestKitHostile(t *testing.T) {
	root := signed(t, newRoot(2))
	clean := makeKit(t, KitFacts{Project: "x", Root: root, Repin: true})
	kit := makeKit(t, KitFacts{Project: "x\n\n# y `z` <b>\x1b[2J\u202e|", Root: root, Repin: true})
	for _, name := range []string{WordsFile, embedFile} {
		if n, want := bytes.Count(kit[name], []byte("\n")), bytes.Count(clean[name], []byte("\n")); n != want {
			t.Errorf("%s has %d lines instead of %d", name, n, want)
		}
		if bytes.ContainsAny(kit[name], "\x1b\u202e\r") {
			t.Errorf("%s has control characters", name)
		}
	}
	if !bytes.Contains(kit[embedFile], []byte("# The root of trust of x \\# y \\`z\\` \\<b\\>?\\[2J?\\|\n")) {
		t.Errorf("%.300s", kit[embedFile])
	}
}

const exampleURL = "https://updates.example.org/metadata"

// The examples of EMBED.md are built and run: they begin with the root of the
// kit, walk to the next one, and get a file that its new online key vouches for.
func TestKitExamples(t *testing.T) {
	first := newRoot(2)
	second := newRoot(3)
	second.Version = 2
	kit := makeKit(t, KitFacts{Project: "Example", Root: signed(t, first)})
	server := repository(t, signed(t, first), signed(t, second, first))
	for name, run := range map[string]func(*testing.T, string, []string) *exec.Cmd{
		"go": runGo, "js": runJS, "python": runPython,
	} {
		t.Run(name, func(t *testing.T) {
			_, rest, _ := strings.Cut(string(kit[embedFile]), "```"+name+"\n")
			source, _, ok := strings.Cut(rest, "```")
			if !ok || !strings.Contains(source, exampleURL) {
				t.Fatalf("EMBED.md has no example: %s", source)
			}
			dir := t.TempDir()
			source = strings.ReplaceAll(source, exampleURL, server+"/metadata")
			for file, text := range map[string]string{"main." + name: source, rootFile: string(kit[rootFile])} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			env := append(os.Environ(), "HOME="+dir, "XDG_CACHE_HOME="+filepath.Join(dir, ".cache"))
			for range 2 { // with nothing stored, and with what is stored
				out, err := run(t, dir, env).CombinedOutput()
				if err != nil {
					t.Fatalf("%s%v", out, err)
				}
				got, err := os.ReadFile(strings.TrimSpace(string(out)))
				if err != nil || string(got) != "hello\n" {
					t.Fatalf("%s: %q, %v", out, got, err)
				}
			}
			stored, err := os.ReadFile(filepath.Join(dir, ".cache", "example", "metadata", "root.json"))
			if err != nil || !bytes.Equal(stored, signed(t, second, first)) {
				t.Errorf("the client has not walked to version 2: %v", err)
			}
		})
	}
}

func runGo(t *testing.T, dir string, env []string) *exec.Cmd {
	program := filepath.Join(dir, "example")
	for _, args := range [][]string{{"vet", filepath.Join(dir, "main.go")}, {"build", "-o", program, filepath.Join(dir, "main.go")}} {
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			t.Fatalf("go %s: %s%v", args[0], out, err)
		}
	}
	cmd := exec.Command(program)
	cmd.Env = env
	return cmd
}

func runJS(t *testing.T, dir string, env []string) *exec.Cmd {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(cache, "rootceremony", "tuf-js", "node_modules")
	if _, err := os.Stat(modules); err != nil && os.Getenv("CI") == "" {
		t.Skip("tuf-js is not installed: ceremony/tuf/testdata/second/install does it, and make test calls that")
	}
	cmd := exec.Command("node", filepath.Join(dir, "main.js"))
	cmd.Env = append(env, "NODE_PATH="+modules)
	return cmd
}

func runPython(t *testing.T, dir string, env []string) *exec.Cmd {
	file := filepath.Join(dir, "main.python")
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	if out, err := exec.Command("python3", "-c", "import ast, sys; ast.parse(open(sys.argv[1]).read())", file).CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	if exec.Command("python3", "-c", "import tuf.ngclient").Run() != nil {
		t.Skip("python-tuf is not installed: the example was only parsed")
	}
	cmd := exec.Command("python3", file)
	cmd.Env = env
	return cmd
}

// repository serves roots, and metadata of the online key 3 for one file.
func repository(t *testing.T, roots ...[]byte) string {
	files := map[string][]byte{}
	for i, root := range roots {
		files[fmt.Sprintf("/metadata/%d.root.json", i+1)] = root
	}
	hello := []byte("hello\n")
	sum := sha256.Sum256(hello)
	target := map[string]any{"length": len(hello), "hashes": map[string]any{"sha256": hex.EncodeToString(sum[:])}}
	files["/metadata/targets/"+hex.EncodeToString(sum[:])+".hello.txt"] = hello
	files["/metadata/1.targets.json"] = onlineFile(t, "targets", "targets", map[string]any{"hello.txt": target})
	files["/metadata/1.snapshot.json"] = onlineFile(t, "snapshot", "meta", map[string]any{"targets.json": map[string]any{"version": 1}})
	files["/metadata/timestamp.json"] = onlineFile(t, "timestamp", "meta", map[string]any{"snapshot.json": map[string]any{"version": 1}})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text, ok := files[r.URL.Path]; ok {
			w.Write(text)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// onlineFile is metadata of an online role. Its canonical form is what encoding/json
// makes of it: members sorted, no white space, nothing that would be escaped.
func onlineFile(t *testing.T, role, name string, value any) []byte {
	t.Helper()
	body := map[string]any{"_type": role, "spec_version": tuf.SpecVersion, "version": 1, "expires": "2036-11-22T00:00:00Z", name: value}
	key, public := private(3)
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	sig := map[string]any{"keyid": public.ID, "sig": hex.EncodeToString(ed25519.Sign(key, text))}
	return must(json.Marshal(map[string]any{"signed": body, "signatures": []any{sig}}))
}
