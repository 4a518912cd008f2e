package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/rehearsal"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
	"rootceremony/keys/virtual"
)

// standInFiles are what a rehearsal in dir with stand-ins for the keys of a real
// plan begins with; nothing where the stand-ins for that plan are there.
func standInFiles(dir, planFile string) (map[string][]byte, error) {
	planned, err := usablePlan(planFile)
	if err != nil {
		return nil, err
	}
	own := filepath.Join(dir, state.PlanFile)
	if _, err := os.Lstat(own); err == nil {
		there, err := plan.Read(own)
		if err != nil {
			return nil, err
		}
		if !rehearsal.StandsInFor(there, planned.Data) {
			return nil, fmt.Errorf("%s has another plan already (hint: leave --stand-in away to go on with it, or name another directory)", dir)
		}
		return nil, nil
	}
	made, err := rehearsal.NewStandIn(planned, clock())
	if err != nil {
		return nil, err
	}
	drawer, err := os.MkdirTemp("", "rootceremony-stand-in-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(drawer)
	if err := fillDrawer(drawer, made.Keys); err != nil {
		return nil, err
	}
	_, tokens, err := virtual.Contents(drawer)
	if err != nil {
		return nil, err
	}
	for name, file := range tokens {
		made.Files[ceremony.TokensDir+"/"+name] = file
	}
	return made.Files, nil
}

// fillDrawer makes a virtual token for each key.
func fillDrawer(dir string, made []rehearsal.StandInKey) error {
	drawer, err := virtual.OpenDrawer(dir)
	if err != nil {
		return err
	}
	for _, key := range made {
		serial, err := drawer.Add(key.Sticker, virtual.Options{})
		if err != nil {
			return err
		}
		reader, err := virtual.Open(session.Backend{Kind: virtual.Kind, Dir: dir, Plugged: []uint32{serial}})
		if err != nil {
			return err
		}
		token, err := reader.Open(serial)
		if err != nil {
			return err
		}
		err = errors.Join(fill(token, key), token.Close())
		if err != nil {
			return fmt.Errorf("the token %s: %w", key.Sticker, err)
		}
	}
	return nil
}

// fill makes of a fresh token one that was prepared in an earlier ceremony, and
// holds the key.
func fill(token session.Token, key rehearsal.StandInKey) error {
	var seed []byte
	var err error
	switch private := key.Private.(type) {
	case ed25519.PrivateKey:
		seed = private.Seed()
	case *ecdsa.PrivateKey:
		seed, err = private.Bytes()
	}
	if err != nil {
		return err
	}
	var given [4]*secret.Buffer
	for i, text := range [][]byte{[]byte(session.DefaultManagement), []byte(session.DefaultPIN), []byte(rehearsal.StandInPIN), seed} {
		if given[i], err = secret.Take(text); err != nil {
			return err
		}
		defer given[i].Wipe()
	}
	management, factoryPIN, pin, root := given[0], given[1], given[2], given[3]
	const tries = 5
	if err := token.SetTries(management, factoryPIN, tries, tries); err != nil {
		return err
	}
	if err := token.ChangePIN(factoryPIN, pin); err != nil {
		return err
	}
	if _, err := token.Generate(management, keys.SlotAuthentication, keys.Ed25519, keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchNever}); err != nil {
		return err
	}
	if _, err := token.Generate(management, keys.SlotAge, keys.P256, keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchAlways}); err != nil {
		return err
	}
	return token.Import(management, keys.SlotRoot, key.Algorithm, root, keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchAlways})
}

// standsIn reports whether the rehearsal in dir has stand-ins for real keys.
func standsIn(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, filepath.FromSlash(rehearsal.StandInsDir)))
	return err == nil
}

// collectStandIns takes in what the own tools of holders whose keys are on no
// token would have written.
func collectStandIns(desk *ceremony.Desk) error {
	files, err := rehearsal.SignAsStandIns(desk)
	if err != nil {
		return err
	}
	for _, f := range files {
		text, err := transcript.ReadFile(f.File)
		if err != nil {
			return err
		}
		taken, err := desk.Collect(text)
		if err != nil {
			return fmt.Errorf("%s: %w", f.File, err)
		}
		for _, sig := range taken.Root.Signatures {
			if !sig.Taken {
				return fmt.Errorf("%s: %s: %s", f.File, sig.Name, sig.Text)
			}
		}
	}
	return nil
}

// sayStandIns tells people what they must know of stand-ins: the tokens' PIN,
// and what is to be collected.
func sayStandIns(desk *ceremony.Desk) error {
	if desk.State().Closed != nil || !standsIn(desk.Dir()) {
		return nil
	}
	fmt.Fprintf(os.Stderr, "rootceremony: the stand-in tokens' PIN is %s\n", rehearsal.StandInPIN)
	files, err := rehearsal.SignAsStandIns(desk)
	for _, f := range files {
		report(fmt.Errorf("%s is what the own tool of %s would write (hint: %s takes it in, while nobody is in the ceremony)", f.File, f.Name, agreed.Command("collect", desk.Dir(), f.File)))
	}
	return err
}
