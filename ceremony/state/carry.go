package state

import (
	"encoding/hex"
	"errors"
	"slices"

	"rootceremony/ceremony/transcript"
)

// PublicNeeded is on how many media what is published leaves the room.
const PublicNeeded = 1

// Finished reports whether the ceremony is closed, and carried to media, or it is
// recorded that it was not.
func (s *State) Finished() bool {
	return s.Closed != nil && (s.NotCarried || s.CarriedAll())
}

// CarriedAll reports whether all media that are needed have what they are for.
func (s *State) CarriedAll() bool {
	return s.CarriedOn(false) >= MediaNeeded && s.CarriedOn(true) >= PublicNeeded
}

// CarriedOn is how many media have the closed ceremony, or its public edition. It is
// known where the media are not.
func (s *State) CarriedOn(public bool) int {
	n := 0
	for _, c := range s.Carried { // each is a medium of its own
		if c.Public == public {
			n++
		}
	}
	return n
}

// CarriedTo are the folders of the media that have the closed ceremony, or what
// it publishes, by id of the medium.
func (s *State) CarriedTo(public bool) map[string]string {
	media := map[string]string{}
	for _, c := range s.Carried {
		if c.Public == public {
			media[c.MediumID] = c.Medium
		}
	}
	return media
}

// MediaInOrder are the ids of the media that have all backups in use.
func (s *State) MediaInOrder() []string {
	var ids []string
	has := s.OnMedia()
	for _, c := range s.Copies {
		if has[c.MediumID] != "" && !slices.Contains(ids, c.MediumID) {
			ids = append(ids, c.MediumID)
		}
	}
	return ids
}

// KeptApart refuses a medium that is kept offline for what is published, and the
// other way round.
func (s *State) KeptApart(id string, public bool) error {
	if public && s.written[id] != nil && id != "" {
		return NotApart(public)
	}
	for _, intended := range s.Carrying {
		if intended.MediumID == id && intended.Public != public {
			return NotApart(public)
		}
	}
	return nil
}

// NotApart says why a medium is not taken.
func NotApart(public bool) error {
	if public {
		return errors.New("this medium is kept offline, and what is published goes to machines with a network (hint: take a medium that has nothing of a ceremony)")
	}
	return errors.New("this medium has what is published, and goes to machines with a network (hint: take another medium, which is kept offline)")
}

func (s *State) carryIntended(e transcript.Event) error {
	var data CarryIntended
	if err := Read(e, &data); err != nil {
		return err
	}
	if s.Closed == nil || !Unseen(e) && !MediumForm.MatchString(data.MediumID) {
		return errors.New("the ceremony is not closed, or the medium has no id")
	}
	if err := s.KeptApart(data.MediumID, data.Public); err != nil && !Unseen(e) {
		return err
	}
	if s.Carrying == nil {
		s.Carrying = map[int64]CarryIntended{}
	}
	s.Carrying[e.Seq] = data
	return nil
}

func (s *State) carried(e transcript.Event) error {
	var data CarryDone
	if err := Read(e, &data); err != nil {
		return err
	}
	intended, open := s.Carrying[data.Intention]
	if Unseen(e) && open {
		delete(s.Carrying, data.Intention)
		s.Carried = append(s.Carried, intended)
		return nil
	}
	has := s.CarriedTo(intended.Public)[data.MediumID] != ""
	if list, err := hex.DecodeString(data.List); !open || has || intended.MediumID != data.MediumID || err != nil || len(list) != 32 {
		return errors.New("nothing like it was intended, or the medium has it already")
	}
	s.Carried = append(s.Carried, intended)
	return nil
}

func (s *State) notCarried(e transcript.Event) error {
	if err := Read(e, &NotCarried{}); err != nil {
		return err
	}
	if s.Closed == nil || s.Finished() || s.Previous != TypeException {
		return errors.New("it is not closed, it is carried, or no exception was recorded just before")
	}
	s.NotCarried = true
	return nil
}
