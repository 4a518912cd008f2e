package state

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
)

// Checked is who can be looked at: a token of a holder, or a recipient who is
// none.
type Checked struct {
	Id     string // of tasks, and of those missing: "alice", "alice spare"
	Who    string // of the holder or recipient
	Name   string
	Kind   TokenKind
	Serial uint32 // 0: a recipient who is no holder
}

// Key is who has passed, with what: another token in its place has not.
func (c Checked) Key() string { return passedKey(c.Who, c.Serial) }

func passedKey(who string, serial uint32) string { return fmt.Sprint(who, " ", serial) }

// CheckedUp are holders with their tokens, each followed by its spare, then
// recipients who are none.
func (s *State) CheckedUp() []Checked {
	var all []Checked
	for _, plan := range s.Plan.Holders {
		h := s.Holders[plan.ID]
		if h.Proved != nil || h.OfTrusted() && h.Prepared != nil && h.Prepared.Age != (keys.PublicKey{}) {
			all = append(all, Checked{plan.ID, plan.ID, plan.Name, OwnToken, h.Serial})
		}
		if h.Spare != nil {
			all = append(all, Checked{plan.ID + " spare", plan.ID, plan.Name + ", spare", SpareToken, h.Spare.Serial})
		}
	}
	if s.Plan.Backup != nil {
		for _, r := range s.Plan.Backup.Recipients {
			if s.Recipients[r.ID] != nil {
				all = append(all, Checked{r.ID, r.ID, r.Name, OwnToken, 0})
			}
		}
	}
	return all
}

func (s *State) checkupPassed(e transcript.Event) error {
	var data CheckupPassed
	if err := Read(e, &data); err != nil {
		return err
	}
	if Unseen(e) {
		return nil
	}
	all := slices.DeleteFunc(s.CheckedUp(), func(c Checked) bool { return c.Who != data.Who })
	if len(all) == 0 {
		return fmt.Errorf("%q is nobody who is checked up", data.Who)
	}
	if answer, err := hex.DecodeString(data.Answer); err != nil || len(answer) != 32 {
		return errors.New("it is not the answer to a test file")
	}
	if !slices.ContainsFunc(all, func(c Checked) bool { return c.Serial == data.Serial }) {
		return fmt.Errorf("%s has no token %d in use", all[0].Name, data.Serial)
	}
	s.Passed[passedKey(data.Who, data.Serial)] = true
	s.PUKBlocked[passedKey(data.Who, data.Serial)] = data.PUKBlocked
	return nil
}

func (s *State) checkupDone(e transcript.Event) error {
	var data CheckupDone
	if err := Read(e, &data); err != nil {
		return err
	}
	if Unseen(e) {
		return nil
	}
	for _, c := range s.CheckedUp() {
		if slices.Contains(data.Missing, c.Id) == s.Passed[c.Key()] {
			return fmt.Errorf("the list of those who did not come is wrong about %q", c.Id)
		}
		if slices.Contains(data.PUKBlocked, c.Id) != s.PUKBlocked[c.Key()] {
			return fmt.Errorf("the list of blocked PUKs is wrong about %q", c.Id)
		}
	}
	s.Checkups = append(s.Checkups, &data)
	s.Passed, s.PUKBlocked = map[string]bool{}, map[string]bool{}
	return nil
}
