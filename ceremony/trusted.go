package ceremony

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys/plainfile"
)

// TrustedDir is where a ceremony keeps the chain it starts from, as N.root.json.
const TrustedDir = "trusted"

// maxTrustedPath is how long the path of the trusted chain may be, in
// characters.
const maxTrustedPath = 1000

// trustedFile is a root of the trusted chain in the ceremony directory.
func trustedFile(version int64) string { return fmt.Sprintf("%s/%d.root.json", TrustedDir, version) }

// TrustedChain is a chain of roots that was verified, each by the one before:
// what a rotation or a revocation starts from. That its first root is the
// project's own is for people to say.
type TrustedChain struct {
	Files [][]byte   // from the first that was given to the newest
	Steps []tuf.Step // one for each
	Last  *tuf.File  // the newest
}

// ReadTrusted reads and verifies the chain that a path names: a folder of
// N.root.json, or one root file. Errors name the file.
func ReadTrusted(path string) (*TrustedChain, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist (hint: put the published roots there, from the first to the newest, each as N.root.json)", path)
	}
	if err != nil {
		return nil, err
	}
	files := []tuf.RootFile{{Name: path}}
	if info.IsDir() {
		if files, err = tuf.RootFiles(path); err != nil {
			return nil, errors.New(oneLine(err.Error()))
		}
	}
	c := &TrustedChain{}
	var chain tuf.Chain
	for _, file := range files {
		name := file.Name
		text, err := transcript.ReadFile(name)
		if err != nil {
			return nil, err
		}
		step, err := chain.Add(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w (hint: it is not the root that this project has published, or one before it is not; get the chain again from where you trust it)", name, err)
		}
		if file.Version > 0 && file.Version != step.Version {
			return nil, fmt.Errorf("%s holds version %d (hint: name each file after its version)", name, step.Version)
		}
		c.Files, c.Steps = append(c.Files, text), append(c.Steps, step)
	}
	c.Last = chain.Last()
	return c, nil
}

// Real tells why no real ceremony can follow on a chain: a root of it was made
// in a rehearsal. What to do depends on the plan.
func (c *TrustedChain) Real() error {
	for _, step := range c.Steps {
		if step.Rehearsal {
			return fmt.Errorf("version %d of the trusted chain was made in a rehearsal: nothing real follows on it", step.Version)
		}
	}
	return nil
}

// Real tells why no real ceremony can be held of the plan, and what can.
func (p *Plan) Real() error {
	if p.Chain == nil {
		return nil
	}
	err := p.Chain.Real()
	if err != nil {
		err = fmt.Errorf("%w (hint: %s rehearses the plan; for the real one, put the published roots into %s)", err, p.RehearseCommand(), p.Trusted)
	}
	return err
}

// Trusted is the trusted chain in an agreed plan.
type Trusted struct {
	Versions []TrustedVersion `json:"versions"` // from the first, which people trust, to the newest
	Root     string           `json:"root"`     // the newest, byte for byte
}

// TrustedVersion is one root of the chain, by the SHA-256 of its file.
type TrustedVersion struct {
	Version int64  `json:"version"`
	SHA256  string `json:"sha256"`
}

// agreed is the chain as it stands in an agreed plan.
func (c *TrustedChain) agreed() *Trusted {
	t := &Trusted{Root: string(c.Files[len(c.Files)-1])}
	for _, step := range c.Steps {
		t.Versions = append(t.Versions, TrustedVersion{step.Version, step.SHA256})
	}
	return t
}

// newest is the last of the versions.
func (t *Trusted) newest() TrustedVersion { return t.Versions[len(t.Versions)-1] }

// check holds a chain, which may come from a hostile file, to what ReadTrusted
// returns, as far as can be told from the newest root alone; and returns that.
func (t *Trusted) check() (*tuf.File, error) {
	if len(t.Versions) == 0 {
		return nil, errors.New("no version is named")
	}
	for i, v := range t.Versions {
		if len(v.SHA256) != 64 || strings.Trim(v.SHA256, "0123456789abcdef") != "" {
			return nil, fmt.Errorf("version %d has no SHA-256", v.Version)
		}
		if v.Version != t.Versions[0].Version+int64(i) {
			return nil, fmt.Errorf("version %d is not the next", v.Version)
		}
	}
	f, err := tuf.Parse([]byte(t.Root))
	if err != nil {
		return nil, err
	}
	if report := f.Report(f.Root); !report.Good() {
		return nil, fmt.Errorf("the newest root is not signed by enough of its keys: %s", report.Text(nil))
	}
	if last := t.newest(); digestOf([]byte(t.Root)) != last.SHA256 || f.Root.Version != last.Version {
		return nil, errors.New("the newest root is not the one that is named")
	}
	return f, nil
}

// dropID names a dropped key in files and prompts, by n characters of its id at
// most. Old key ids need not be hex.
func dropID(keyID string, n int) string {
	id := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(keyID))
	return "old-" + id[:min(len(id), n)]
}

// checkKeyID refuses key ids that cannot be shown or typed as they are.
func checkKeyID(s string) error { return checkShown(s, 255) }

func checkDropReason(s string) error {
	if !slices.Contains([]string{Lost, Stolen, Compromised, Retired}, s) {
		return fmt.Errorf("%q is none of %s, %s, %s, %s", s, Lost, Stolen, Compromised, Retired)
	}
	return nil
}

// readTrusted reads the chain that the plan names, and takes from its newest
// root what the plan does not say.
func (p *Plan) readTrusted() {
	if p.Trusted == "" || p.said["trusted"] {
		return
	}
	path := filepath.FromSlash(p.Trusted)
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(p.File), path)
	}
	chain, err := ReadTrusted(path)
	if err != nil {
		p.fault("trusted", "%v", errors.New(oneLine(err.Error())))
		return
	}
	p.Chain = chain
	root := chain.Last.Root
	if p.absent("root.threshold") {
		p.Root.Threshold = root.Roles[tuf.RoleRoot].Threshold
		switch n := len(p.Holders); {
		case n == 0:
			p.said["root.threshold"] = true // which comes of that
		case p.Root.Threshold > n:
			p.fault("root", "threshold is %d as in version %d, but there are only %d holders then (hint: threshold = ..., with fewer)", p.Root.Threshold, root.Version, n)
		}
	}
	if p.absent("root.consistent_snapshot") {
		p.Root.ConsistentSnapshot = root.ConsistentSnapshot
	}
}

// valueOf names the key with an id of a root by what it is.
func valueOf(root *tuf.Root, id string) string {
	key, _ := root.Key(id)
	return key.Value()
}

func shortened(ids []string) []string {
	var short []string
	for _, id := range ids {
		short = append(short, fmt.Sprintf("%.8s...", id))
	}
	return short
}

// PlanFiles are the files that a plan is made of, by name in a directory of its
// own: plan.toml, key files, and the trusted chain. Where the plan names the
// chain by another path that is replaced, as the chain goes along; earlier
// ceremonies are named by their whole paths.
func (p *Plan) PlanFiles() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, role := range p.Roles {
		for _, name := range role.Files {
			text, err := plainfile.Read(filepath.Join(filepath.Dir(p.File), name), maxKeyFile)
			if err != nil {
				return nil, err
			}
			files[name] = text
		}
	}
	files[PlanFile] = p.edited(p.moved())
	if p.Chain == nil {
		return files, nil
	}
	for i, text := range p.Chain.Files {
		files[trustedFile(p.Chain.Steps[i].Version)] = text
	}
	return files, nil
}

// trustedLines says what chain a plan starts from.
func (r *Resolved) trustedLines(now time.Time) []string {
	if r.Trusted == nil {
		return nil
	}
	first, last, root := r.Trusted.Versions[0], r.Trusted.newest(), r.TrustedRoot()
	lines := []string{"", "trusted root:",
		fmt.Sprintf("  versions %d to %d were verified, each by the one before", first.Version, last.Version),
		fmt.Sprintf("  version %d is taken on trust; the SHA-256 of its file is %s", first.Version, grouped(first.SHA256))}
	if first == last {
		lines[2] = fmt.Sprintf("  version %d alone was given, and is taken on trust", first.Version)
		lines[3] = "  the SHA-256 of its file is " + grouped(first.SHA256)
	}
	if !root.Expires.After(now) {
		lines = append(lines, fmt.Sprintf("  version %d expired on %s: clients refuse updates until they have the next one", last.Version, stamp(root.Expires)))
	}
	if root.Expires.After(now.AddDate(0, 0, maxDays)) {
		lines = append(lines, fmt.Sprintf("  version %d expires on %s, which is more than %d days ahead: is this computer's clock right? it says %s", last.Version, stamp(root.Expires), maxDays, stamp(now)))
	}
	return append(lines, "  whether a newer one was published, this laptop cannot know: look where it is published")
}
