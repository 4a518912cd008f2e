package plan

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys/plainfile"
)

// maxTrustedPath is how long the path of the trusted chain may be, in
// characters.
const maxTrustedPath = 1000

// TrustedChain is a chain of roots that was verified, each by the one before:
// what a rotation or a revocation starts from. That its first root is the
// project's own is for people to say.
type TrustedChain struct {
	Files [][]byte   // from the first that was given to the newest
	Steps []tuf.Step // one for each
	Last  *tuf.File  // the newest
	// Exposed are the values of the keys whose private half stands in a root of the
	// chain, with the first version in which it does.
	Exposed map[string]int64
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
			return nil, errors.New(agreed.OneLine(err.Error()))
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
		if errors.As(err, new(*tuf.ParseError)) {
			return nil, fmt.Errorf("%s: %w (hint: it is not as a client would read it; get the file again from where it is published, byte for byte)", name, err)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w (hint: it is not the root that this project has published, or one before it is not; get the chain again from where you trust it)", name, err)
		}
		if file.Version > 0 && file.Version != step.Version {
			return nil, fmt.Errorf("%s holds version %d (hint: name each file after its version)", name, step.Version)
		}
		c.Files, c.Steps = append(c.Files, text), append(c.Steps, step)
	}
	c.Last, c.Exposed = chain.Last(), chain.Exposed()
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
	var err error
	if p.Chain != nil {
		err = p.Chain.Real()
	}
	if err == nil && p.Carried != nil && p.Carried.Targets.Rehearsal() {
		return fmt.Errorf("the targets file %q was made in a rehearsal: nothing real follows on it (hint: the newest one that is published, as file in [targets] of %s)", p.Targets.File, p.File)
	}
	if err != nil {
		err = fmt.Errorf("%w (hint: %s rehearses the plan; for the real one, name the folder of the published roots as trusted in %s)", err, p.RehearseCommand(), p.File)
	}
	return err
}

// stops are the versions at which clients are known to stop before the next one.
func (c *TrustedChain) stops(next *tuf.Root) ([]string, error) {
	var roots []*tuf.Root
	for _, text := range c.Files {
		file, err := tuf.Parse(text)
		if err != nil {
			return nil, err
		}
		roots = append(roots, file.Root)
	}
	return tuf.Stops(roots, next), nil
}

// agreed is the chain as it stands in an agreed plan.
func (c *TrustedChain) agreed() *agreed.Trusted {
	t := &agreed.Trusted{Root: string(c.Files[len(c.Files)-1])}
	for _, step := range c.Steps {
		t.Versions = append(t.Versions, agreed.TrustedVersion{Version: step.Version, SHA256: step.SHA256})
	}
	return t
}

// ReadTrusted reads the chain that the plan names, and takes from its newest
// root what the plan does not say.
func (p *Plan) ReadTrusted() {
	if p.Trusted == "" || p.said["trusted"] {
		return
	}
	chain, err := ReadTrusted(p.fromHere(p.Trusted))
	if err != nil {
		p.fault("trusted", "%v", errors.New(agreed.OneLine(err.Error())))
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
	p.keptTargetsKeys()
}

// PlanFiles are the files that a plan is made of, by name in a directory of its
// own: plan.toml, key files, a targets file, and the trusted chain. Where the plan names the
// chain by another path that is replaced, as the chain goes along; earlier
// ceremonies are named by their whole paths.
func (p *Plan) PlanFiles() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range p.files() {
		most := int64(maxKeyFile)
		if p.Targets != nil && name == p.Targets.File {
			most = tuf.MaxTargetsSize
		}
		text, err := plainfile.Read(filepath.Join(filepath.Dir(p.File), name), most)
		if err != nil {
			return nil, err
		}
		files[name] = text
	}
	files[state.PlanFile] = p.Edited(p.Moved())
	if p.Chain == nil {
		return files, nil
	}
	for i, text := range p.Chain.Files {
		files[agreed.TrustedFile(p.Chain.Steps[i].Version)] = text
	}
	return files, nil
}
