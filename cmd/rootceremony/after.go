package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"rootceremony/ceremony"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/rehearsal"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys/virtual"
	"rootceremony/keys/yubikey"
)

// followed is a finished rehearsal on which another one follows.
type followed struct {
	past   *plan.Ceremony
	tokens map[string][]byte // the files of its virtual tokens, by name; nil where they are real
	next   *plan.Plan        // of the one that follows
}

// follow looks at the rehearsal in dir, and reads or makes the plan of the one
// that is to follow. It changes nothing in dir.
func follow(dir, planFile, kind string) (*followed, error) {
	past, err := rehearsal.Finished(dir, kind)
	if err != nil {
		return nil, err
	}
	f := &followed{past: past}
	var stickers []string
	if kind != yubikey.Kind {
		stickers, f.tokens, err = virtual.Contents(filepath.Join(dir, filepath.FromSlash(ceremony.TokensDir)))
		if err != nil {
			return nil, err
		}
	}
	if planFile != "" {
		f.next, err = rehearsal.ReadPlanAfter(past, planFile)
	} else {
		f.next, err = rehearsal.PlanAfter(past, stickers)
	}
	if err == nil {
		_, err = f.next.Resolve(clock())
	}
	return f, err
}

// files are what the rehearsal that follows begins with: its plan, the chain,
// identities, the virtual tokens as they are now, and the PINs that a script
// has given to those, or to real ones.
func (f *followed) files() (map[string][]byte, error) {
	files, err := f.next.PlanFiles()
	if err != nil {
		return nil, err
	}
	identities := filepath.Join(f.past.Dir, filepath.FromSlash(ceremony.IdentitiesDir))
	there, err := os.ReadDir(identities)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range there {
		if !entry.Type().IsRegular() || !strings.HasSuffix(entry.Name(), ".txt") {
			continue
		}
		text, err := transcript.ReadFile(filepath.Join(identities, entry.Name()))
		if err != nil {
			return nil, err
		}
		files[ceremony.IdentitiesDir+"/"+entry.Name()] = text
	}
	for was, is := range rehearsal.SignersAfter(f.past, f.next) { // stand-ins that are on no token
		key, err := transcript.ReadFile(filepath.Join(f.past.Dir, filepath.FromSlash(rehearsal.StandInsDir), was+".pem"))
		if err == nil {
			files[rehearsal.StandInsDir+"/"+is+".pem"] = key
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	for name, file := range f.tokens {
		files[ceremony.TokensDir+"/"+name] = file
	}
	laid, err := laidAnswers(f.past.Dir)
	if err != nil {
		return nil, err
	}
	files[rehearsal.AnswersFile] = rehearsal.AnswersText(rehearsal.AnswersAfter(f.past, f.next, laid))
	return files, nil
}

// laidAnswers are the answers that a rehearsal's script has from before.
func laidAnswers(dir string) (map[string]string, error) {
	file := filepath.Join(dir, filepath.FromSlash(rehearsal.AnswersFile))
	if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	return readAnswers(file)
}
