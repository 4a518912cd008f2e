// Package signed remembers on a laptop what tokens were asked to sign on it.
//
// A holder signs a version once: two roots of one version that both reach a
// threshold split the world of clients. A ceremony's log sees to that within its
// directory; this file does, for all ceremonies that are held on the laptop, and
// for what is signed there for ceremonies elsewhere.
//
// The file has one JSON object a line (Remembered), each ended by a line feed, and
// at most 16 MiB. Lines are only added, each synced before the token is asked. A
// line with "not_signed" takes the last one like it back; one with "differs" is no
// signature, and says that another machine showed other words of that root.
//
// An act is refused where the file has one of the same key and version over
// another digest, unless both name the root before, and not the same one.
//
// What follows the last line feed was cut off before it was synced, and is cut
// away. A line that cannot be read, or has members that are not known, refuses
// everything. One process at a time has the file; others wait. A link is refused.
package signed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/disk"
)

// Remembered is a line of that file.
type Remembered struct {
	Version  int64     `json:"version"`
	Digest   string    `json:"digest"`   // SHA-256 of what is signed
	Previous string    `json:"previous"` // the same of the root before it; "": there is none, or it was not known
	KeyID    string    `json:"keyid"`    // as tuf.NewKey has it, whatever the root calls the key
	Time     time.Time `json:"time"`     // UTC, seconds
	// NotSigned takes the last equal line back: the token is known to have
	// signed nothing.
	NotSigned bool `json:"not_signed,omitempty"`
	// Differs is no signature: another machine showed other words of that root. It
	// has no key.
	Differs bool `json:"differs,omitempty"`
}

func (r Remembered) sameAct(other Remembered) bool {
	return r.Version == other.Version && r.Digest == other.Digest && r.Previous == other.Previous && r.KeyID == other.KeyID
}

// rivals reports whether two acts are signatures of one key under two roots that
// claim the same place. A root before that is not known may be the same one.
func (r Remembered) rivals(other Remembered) bool {
	return r.Version == other.Version && r.KeyID == other.KeyID && r.Digest != other.Digest &&
		(r.Previous == other.Previous || r.Previous == "" || other.Previous == "")
}

// signedTwice says that a key was asked before to sign another root of that
// version.
type signedTwice struct {
	now, before Remembered
	file        string // that remembers
}

func (e *signedTwice) Error() string {
	return fmt.Sprintf("this key was used on this laptop on %s to sign another root v%d, and the SHA-256 of what is signed was %.16s... there, and is %.16s... here; a holder signs a version once, as two roots of one version would split its users for good; nothing was signed "+
		"(hint: ask the room which of the two lives; the signature of the other is collected or counted there, and somebody else signs this one; %s remembers it)",
		agreed.Stamp(e.before.Time), e.before.Version, e.before.Digest, e.now.Digest, e.file)
}

// MayAct tells why an act must not be, by what the file remembers; a
// *signedTwice where it is a rival's.
func MayAct(file string, act Remembered) error {
	return withMemory(file, func(_ *disk.File, _ int64, acts []Remembered) error { return noRival(file, acts, act) })
}

// Remember adds an act to the file, which is made where it is missing, and
// syncs it. A rival's is refused with a *signedTwice.
func Remember(file string, act Remembered) error {
	return withMemory(file, func(memory *disk.File, end int64, acts []Remembered) error {
		if err := noRival(file, acts, act); err != nil && !act.NotSigned {
			return err
		}
		line, err := json.Marshal(act)
		if err == nil {
			err = memory.WriteAt(append(line, '\n'), end)
		}
		if err == nil {
			err = memory.Sync()
		}
		return err
	})
}

// maxMemory is the largest file that remembers, in bytes: over 40,000 acts.
const maxMemory = 16 << 20

// WereDifferent reports whether the file remembers that another machine showed
// other words of the root with that digest.
func WereDifferent(file, digest string) (differ bool, err error) {
	err = withMemory(file, func(_ *disk.File, _ int64, acts []Remembered) error {
		differ = slices.ContainsFunc(acts, func(act Remembered) bool { return act.Differs && act.Digest == digest })
		return nil
	})
	return differ, err
}

func noRival(file string, acts []Remembered, act Remembered) error {
	if i := slices.IndexFunc(acts, act.rivals); i >= 0 {
		return &signedTwice{act, acts[i], file}
	}
	return nil
}

// withMemory runs do with the file, where it ends, and the acts that count, while no
// other process uses it.
func withMemory(file string, do func(memory *disk.File, end int64, acts []Remembered) error) error {
	err := disk.MakeFolder(filepath.Dir(file))
	if err != nil {
		return fmt.Errorf("what is signed cannot be remembered: %w", err)
	}
	memory, err := disk.Open(file, os.O_RDWR|os.O_CREATE, maxMemory)
	if err != nil {
		return fmt.Errorf("what is signed cannot be remembered: %w", err)
	}
	defer memory.Close()
	acts, whole, err := readMemory(memory)
	if err == nil {
		err = disk.SyncFolder(filepath.Dir(file))
	}
	if err == nil {
		// A line without its end was cut off before it was synced, and so
		// before the token was asked.
		err = memory.Cut(whole)
	}
	if err != nil {
		return fmt.Errorf("%s, which remembers what was signed here: %w", file, err)
	}
	return do(memory, whole, acts)
}

// readMemory locks the file and reads the acts that were not taken back. whole
// is where the last whole line ends.
func readMemory(memory *disk.File) (acts []Remembered, whole int64, err error) {
	if err := memory.Lock(0); err != nil {
		return nil, 0, err
	}
	text, err := memory.Contents(maxMemory)
	if err != nil {
		return nil, 0, err
	}
	for number := 1; ; number++ {
		line, rest, ended := bytes.Cut(text, []byte{'\n'})
		if !ended {
			return acts, whole, nil
		}
		var act Remembered
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&act); err != nil || act.Version < 1 || act.Digest == "" || (act.KeyID == "") != act.Differs {
			return nil, 0, fmt.Errorf("line %d cannot be read, so it cannot be told what was signed before (hint: put the file back as it was)", number)
		}
		if !act.NotSigned {
			acts = append(acts, act)
		} else {
			for i := len(acts) - 1; i >= 0; i-- {
				if acts[i].sameAct(act) {
					acts = slices.Delete(acts, i, i+1)
					break
				}
			}
		}
		whole += int64(len(line)) + 1
		text = rest
	}
}
