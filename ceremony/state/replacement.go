package state

import (
	"errors"
	"fmt"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
)

// Restorable are the holders of whom a backup is in use.
func (s *State) Restorable() []*Holder {
	var all []*Holder
	for _, h := range s.Plan.Holders {
		if state := s.Holders[h.ID]; state.Backup(keys.BackupKey) != nil || state.Backup(keys.BackupToken) != nil {
			all = append(all, state)
		}
	}
	return all
}

func (s *State) replacementBegun(e transcript.Event) error {
	var data ReplacementBegun
	if err := Read(e, &data); err != nil {
		return err
	}
	h := s.Holders[data.Holder]
	if h == nil || h.Backup(keys.BackupKey) == nil || h.Replacement != nil {
		return errors.New("there is no backup of that holder's key in use, or another token takes its place already")
	}
	if err := s.StickerFree(data.Sticker); err != nil {
		return err
	}
	holder := h.Holder
	holder.Token = data.Sticker
	if data.Spare && (!holder.Spare || h.Spare != nil) {
		return errors.New("the plan has no spare token for that holder, or there is one")
	}
	h.Replacement = &Holder{Kind: ReplacementToken, Holder: holder, ForSpare: data.Spare}
	return nil
}

// takePlace makes a replacement, whose root key is proved, the holder's token,
// or the spare one.
func (s *State) takePlace(h *Holder) {
	own := s.Holders[h.Holder.ID]
	if h.ForSpare {
		h.Kind, h.ForSpare = SpareToken, false
		own.Spare, own.Replacement = h, nil
		return
	}
	own.Former, own.stickers = append(own.Former, own.Serial), append(own.stickers, own.Holder.Token)
	own.Holder, own.Serial, own.Prepared, own.Key, own.Proved = h.Holder, h.Serial, h.Prepared, h.Key, h.Proved
	own.Stored, own.sitting = append(own.Stored, h.Stored...), h.sitting
	own.preparedAt, own.madeAt = h.preparedAt, h.madeAt
	own.Open, own.Replacement = nil, nil
	if h.Kind == SpareToken {
		own.Spare = nil
	}
}

func (s *State) replacementGivenUp(e transcript.Event) error {
	var data ReplacementGivenUp
	if err := Read(e, &data); err != nil {
		return err
	}
	h := s.Holders[data.Holder]
	if h == nil || h.Replacement == nil || h.Replacement.Serial != data.Serial || !data.Replacement {
		return errors.New("no such token was to take the place of that holder's")
	}
	if h.Replacement.Key != nil { // it has the root key
		h.Former = append(h.Former, data.Serial)
	}
	h.stickers = append(h.stickers, h.Replacement.Holder.Token)
	s.givenUp(h.Replacement)
	h.Replacement = nil
	return nil
}

func (s *State) spareUsed(e transcript.Event) error {
	var data SpareUsed
	if err := Read(e, &data); err != nil {
		return err
	}
	h := s.Holders[data.Holder]
	if h == nil || h.Spare == nil || h.Spare.Serial != data.Serial || h.Open != nil || h.Replacement != nil {
		return errors.New("that holder has no such spare token, or something was begun with the other")
	}
	s.takePlace(h.Spare)
	return nil
}

// StickerFree tells whose token has that sticker already.
func (s *State) StickerFree(sticker string) error {
	if err := agreed.CheckSticker(sticker); err != nil {
		return err
	}
	for _, h := range s.Plan.Holders { // as planned, as it is now, and as it was
		state := s.Holders[h.ID]
		taken := append([]string{h.Token, state.Holder.Token}, state.stickers...)
		for _, other := range []*Holder{state.Spare, state.Replacement} {
			if other != nil {
				taken = append(taken, other.Holder.Token)
			}
		}
		if slices.ContainsFunc(taken, func(t string) bool { return agreed.Fold(t) == agreed.Fold(sticker) }) {
			return fmt.Errorf("the sticker %s is on a token of %s (hint: a sticker of its own for each token)", sticker, h.Name)
		}
		if spare := s.Holders[h.ID].Spare; spare != nil && agreed.Fold(spare.Holder.Token) == agreed.Fold(sticker) {
			return fmt.Errorf("the sticker %s is on the spare token of %s (hint: a sticker of its own for each token)", sticker, h.Name)
		}
	}
	return nil
}
