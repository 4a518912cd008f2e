package ceremony

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// afterTheDay are the events that a closed ceremony still takes: backups and
// tokens live on.
var afterTheDay = map[string]bool{
	TypeReplacementBegun: true, TypeStartedOver: true, TypeSettled: true, TypeHeadSigned: true,
	TypeWipeIntended: true, TypeWiped: true, TypePrepareIntended: true, TypePrepared: true,
	TypeKeyIntended: true, TypeBackupStored: true, TypeKeyMade: true, TypeKeyProved: true,
	TypeUnblockIntended: true, TypeUnblocked: true, TypeCopiesWritten: true, TypeCopiesRead: true,
	TypeCheckupPassed: true, TypeCheckupDone: true,
}

// OnlyRestore makes the desk one that restores from backups, and nothing else.
func (d *Desk) OnlyRestore() error {
	if d.state.Plan == nil || d.state.Plan.Backup == nil || len(d.state.restorable()) == 0 {
		return fmt.Errorf("%s has no backups that are in use: there is nothing to restore from", d.dir)
	}
	d.only = func() []Task {
		return []Task{{ID: "restore", Title: "Restore from a backup", State: doneIf(d.done), do: d.restore}}
	}
	return nil
}

// restorable are the holders of whom a backup is in use.
func (s *State) restorable() []*HolderState {
	var all []*HolderState
	for _, h := range s.Plan.Holders {
		if state := s.Holders[h.ID]; state.backup(keys.BackupKey) != nil || state.backup(keys.BackupToken) != nil {
			all = append(all, state)
		}
	}
	return all
}

func (s *State) replacementBegun(e transcript.Event) error {
	var data ReplacementBegun
	if err := read(e, &data); err != nil {
		return err
	}
	h := s.Holders[data.Holder]
	if h == nil || h.backup(keys.BackupKey) == nil || h.Replacement != nil {
		return errors.New("there is no backup of that holder's key in use, or another token takes its place already")
	}
	if err := checkSticker(data.Sticker); err != nil {
		return fmt.Errorf("sticker %w", err)
	}
	holder := h.Holder
	holder.Token = data.Sticker
	h.Replacement = &HolderState{Holder: holder, replaces: h}
	return nil
}

// takePlace makes a replacement, whose root key is proved, the holder's token.
func (h *HolderState) takePlace() {
	own := h.replaces
	own.Former = append(own.Former, own.Serial)
	own.Holder, own.Serial, own.Prepared, own.Key, own.Proved = h.Holder, h.Serial, h.Prepared, h.Key, h.Proved
	own.Stored = append(own.Stored, h.Stored...)
	own.Open, own.Replacement = nil, nil
}

// restore brings back what was lost: a key on a fresh token, or the PIN of one
// that is there.
func (d *Desk) restore(ctx context.Context, a Attendant) error {
	title := "Restore from a backup"
	if missing := d.state.recipientsMissing(); len(missing) > 0 {
		return fmt.Errorf("%s must show first that they open backups, as what the new token gets is sealed for them (hint: take their tasks first)", listed(missing))
	}
	var choices []Choice
	for _, h := range d.state.restorable() {
		label := fmt.Sprintf("%s, token %s", h.Holder.Name, h.Holder.Token)
		if h.Replacement != nil {
			label += ": was begun, goes on"
		}
		choices = append(choices, Choice{h.Holder.ID, label})
	}
	id, err := a.Choose(ctx, Prompt{ID: "restore.whose", Message: Message{Title: title}, Question: "Whose token is it about?"}, choices)
	if err != nil {
		return err
	}
	h := d.state.Holders[id]
	what := "key"
	if h.Replacement == nil {
		ways := []Choice{{"key", "The token is lost or broken: put the key on a fresh one"}, {"pin", "The PIN is forgotten or blocked: set a new one"}}
		if h.backup(keys.BackupKey) == nil {
			ways = ways[1:]
		}
		if what, err = a.Choose(ctx, Prompt{ID: "restore.what", Message: Message{Title: title, Facts: []Fact{
			{"Holder", h.Holder.Name}, {"Serial", serialText(h.Serial) + "   (sticker " + h.Holder.Token + ")"}}}, Question: "What has happened?"}, ways); err != nil {
			return err
		}
	}
	if what == "pin" {
		err = d.restorePIN(ctx, a, h)
	} else {
		err = d.restoreKey(ctx, a, h)
	}
	if err == nil {
		d.done = true
	}
	return err
}

// restoreKey puts a root key from its backup on a fresh token.
func (d *Desk) restoreKey(ctx context.Context, a Attendant, h *HolderState) error {
	if h.Replacement == nil {
		if err := d.beginReplacement(ctx, a, h); err != nil {
			return err
		}
	}
	fresh := h.Replacement
	info, err := d.enrolToken(ctx, a, fresh)
	if err != nil {
		return err
	}
	if err := d.settle(ctx, a, fresh, info); err != nil {
		return err
	}
	if err := d.noticeReset(ctx, a, fresh, info); err != nil {
		return err
	}
	if info, err = d.wipeIfNeeded(ctx, a, fresh, info); err != nil {
		return err
	}
	prove := func(s *keys.Session, pin *secret.Buffer) error {
		if fresh.Key == nil {
			return errors.New("the key is not on the token yet")
		}
		if err := d.prove(ctx, a, s, fresh, pin); err != nil {
			return err
		}
		return d.signHead(ctx, s, h, pin)
	}
	if fresh.Prepared == nil {
		pin, err := NewPIN(ctx, a, fresh.Holder.ID, fresh.Holder.Name, tokenFacts(info, fresh.Holder))
		if err != nil {
			return err
		}
		defer pin.Wipe()
		if err := d.withToken(ctx, info.Serial, func(s *keys.Session) error { return d.prepare(ctx, a, s, fresh, info, pin) }); err != nil {
			return err
		}
		if err := d.keyFromBackup(ctx, a, fresh); err != nil {
			return err
		}
		err = d.withToken(ctx, info.Serial, func(s *keys.Session) error { return prove(s, pin) })
		if err != nil {
			return err
		}
	} else {
		if fresh.Key == nil {
			if err := d.keyFromBackup(ctx, a, fresh); err != nil {
				return err
			}
		}
		if err := d.withPIN(ctx, a, fresh, info.PINTries, prove); err != nil {
			return err
		}
	}
	return a.Tell(ctx, Message{Title: h.Holder.Name + ": the key is restored", Facts: tokenFacts(info, h.Holder), Text: []string{
		"The new token has the root key of " + h.Holder.Name + ", and has proved it. It has its own key in 82: the backups of others that were sealed for the old token it does not open.",
		"The old token still holds the root key. If it was stolen, or turns up again, revoke the key, or reset the token before a witness."}})
}

// beginReplacement asks which token takes the place of the holder's.
func (d *Desk) beginReplacement(ctx context.Context, a Attendant, h *HolderState) error {
	title := h.Holder.Name + ": a fresh token"
	why, err := a.Ask(ctx, Prompt{ID: "restore.why", Enter: "token lost or broken", Message: Message{Title: title}, Question: "What has happened to the token " + h.Holder.Token + "? (Enter: token lost or broken)"}, nil)
	if err != nil {
		return err
	}
	if why = strings.TrimSpace(why); why == "" {
		why = "token lost or broken"
	}
	suggested, question := "", "What is on the sticker of the fresh token?"
	if i := slices.IndexFunc(d.tokens.Stickers, func(s string) bool { return d.state.stickerFree(s) == nil }); i >= 0 {
		suggested = d.tokens.Stickers[i]
		question += " (Enter: " + suggested + ")"
	}
	sticker, err := a.Ask(ctx, Prompt{ID: "restore.sticker", Enter: suggested, Message: Message{Title: title,
		Text: []string{"It gets a PIN of its own, a PUK and a management key, which are sealed as the first ones were, and then the root key."}}, Question: question},
		func(answer string) error {
			if strings.TrimSpace(answer) == "" && suggested != "" {
				return nil
			}
			return d.state.stickerFree(strings.TrimSpace(answer))
		})
	if err != nil {
		return err
	}
	if sticker = strings.TrimSpace(sticker); sticker == "" {
		sticker = suggested
	}
	return d.record(TypeReplacementBegun, h.Holder.ID, ReplacementBegun{h.Holder.ID, sticker, why})
}

// stickerFree tells whose token has that sticker already.
func (s *State) stickerFree(sticker string) error {
	if err := checkSticker(sticker); err != nil {
		return err
	}
	for _, h := range s.Plan.Holders { // as planned, and as it is now
		if fold(h.Token) == fold(sticker) || fold(s.Holders[h.ID].Holder.Token) == fold(sticker) {
			return fmt.Errorf("the sticker %s is on a token of %s (hint: a sticker of its own for each token)", sticker, h.Name)
		}
	}
	return nil
}

// keyFromBackup has a quorum open the backup of the key, and puts it on the
// fresh token.
func (d *Desk) keyFromBackup(ctx context.Context, a Attendant, fresh *HolderState) error {
	_, err := d.openQuorum(ctx, a, fresh, keys.BackupKey, []string{fresh.Holder.Token}, func(s *keys.Session, opened keys.Opened) error {
		if err := fresh.matches(opened); err != nil {
			return err
		}
		if err := d.selectIn(ctx, a, s, fresh); err != nil {
			return err
		}
		return d.makeKey(ctx, a, s, fresh)
	})
	return err
}

// restorePIN sets a new PIN by the PUK in a backup.
func (d *Desk) restorePIN(ctx context.Context, a Attendant, h *HolderState) error {
	there, err := d.waitForToken(ctx, a, h, "restore.token "+h.Holder.ID, func(info keys.Info) error {
		if info.Serial != h.Serial {
			return fmt.Errorf("%s's token has the serial number %s, this one %s (hint: insert the token with the sticker %s)",
				h.Holder.Name, serialText(h.Serial), serialText(info.Serial), h.Holder.Token)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := d.settle(ctx, a, h, there[0]); err != nil {
		return err
	}
	pin, err := d.byQuorum(ctx, a, h, there[0])
	if err != nil {
		return err
	}
	pin.Wipe()
	return a.Tell(ctx, Message{Title: h.Holder.Name + ": the new PIN is set", Text: []string{"The token takes it, with all its tries."}})
}

// byBackup is the way out of a blocked PIN where the PUK has a backup.
func (h *HolderState) byBackup() []Choice {
	if h.backup(keys.BackupToken) == nil {
		return nil
	}
	return []Choice{{"quorum", "Its recipients open the backup of the PUK"}}
}

// byQuorum has the holder choose a new PIN, and a quorum open the backup of the
// PUK by which it is set.
func (d *Desk) byQuorum(ctx context.Context, a Attendant, h *HolderState, info keys.Info) (*secret.Buffer, error) {
	pin, err := NewPIN(ctx, a, h.Holder.ID, h.Holder.Name, tokenFacts(info, h.Holder))
	if err != nil {
		return nil, err
	}
	_, err = d.openQuorum(ctx, a, h, keys.BackupToken, []string{h.Holder.Token}, func(s *keys.Session, opened keys.Opened) error {
		if err := h.matches(opened); err != nil {
			return err
		}
		if err := d.selectIn(ctx, a, s, h); err != nil {
			return err
		}
		on := h.act(h.Serial)
		intention, err := d.intend(TypeUnblockIntended, h.Holder.ID, UnblockIntended{on, false})
		if err != nil {
			return err
		}
		if err := s.UnblockFromBackup(pin); err != nil {
			return err
		}
		if err := s.CheckPIN(pin); err != nil {
			return err
		}
		return d.record(TypeUnblocked, h.Holder.ID, Result{on, intention})
	})
	if err != nil {
		pin.Wipe()
		return nil, err
	}
	return pin, nil
}
