package ceremony

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// OnlyRestore makes the desk one that restores from backups, and nothing else.
func (d *Desk) OnlyRestore() error {
	if d.state.Plan == nil || d.state.Plan.Backup == nil || len(d.state.Restorable()) == 0 {
		return fmt.Errorf("%s has no backups that are in use: there is nothing to restore from", d.dir)
	}
	d.only = func() []prompt.Task {
		tasks := []prompt.Task{{ID: "restore", Title: "Restore from a backup", State: DoneIf(d.done), Do: d.restore}}
		if d.done && !d.state.CopiedEnough() {
			tasks = append(tasks, d.copiesTask()) // of what was sealed for the fresh token
		}
		return tasks
	}
	return nil
}

// spareTask puts a holder's root key on a second token.
func (d *Desk) spareTask(h *state.Holder) prompt.Task {
	t := prompt.Task{ID: "spare " + h.Holder.ID, Group: prompt.GroupKeys, Title: h.Holder.Name + ", spare", State: DoneIf(h.Spare != nil || len(h.Former) > 0)}
	if missing := d.state.Names(func(h *state.Holder) bool { return !h.Counts() }); len(missing) > 0 {
		t.Block("waits for the keys of " + agreed.Listed(missing))
	}
	t.Do = func(ctx context.Context, a prompt.Room) error {
		if h.Replacement != nil && !h.Replacement.ForSpare {
			return fmt.Errorf("another token is about to take the place of the one of %s (hint: take the task Restore from a backup first)", h.Holder.Name)
		}
		if err := d.goOnOrGiveUp(ctx, a, h); err != nil {
			return err
		}
		if h.Replacement == nil {
			if err := d.beginReplacement(ctx, a, h, true); err != nil {
				return err
			}
		}
		return d.restoreKey(ctx, a, h)
	}
	return t
}

// restore brings back what was lost: a key on a fresh token, or the PIN of one
// that is there.
func (d *Desk) restore(ctx context.Context, a prompt.Room) error {
	title := "Restore from a backup"
	if missing := d.state.RecipientsMissing(); len(missing) > 0 {
		return fmt.Errorf("%s must show first that they open backups, as what the new token gets is sealed for them (hint: take their tasks first)", agreed.Listed(missing))
	}
	var choices []prompt.Choice
	for _, h := range d.state.Restorable() {
		label := fmt.Sprintf("%s, token %s", h.Holder.Name, h.Holder.Token)
		if h.Replacement != nil {
			label += ": was begun, goes on"
		}
		choices = append(choices, prompt.Choice{Key: h.Holder.ID, Label: label})
	}
	id, err := a.Choose(ctx, prompt.Prompt{ID: "restore.whose", Message: prompt.Message{Title: title}, Question: "Whose token is it about?"}, choices)
	if err != nil {
		return err
	}
	h := d.state.Holders[id]
	if err := d.goOnOrGiveUp(ctx, a, h); err != nil {
		return err
	}
	what := "key"
	if h.Replacement == nil {
		ways := []prompt.Choice{{Key: "key", Label: "The token is lost or broken: put the key on a fresh one"}, {Key: "pin", Label: "The PIN is forgotten or blocked: set a new one"}}
		if h.Backup(keys.BackupKey) == nil {
			ways = ways[1:]
		}
		if h.Spare != nil {
			ways = append(ways, prompt.Choice{Key: "spare", Label: "The token is lost or broken: use the spare " + h.Spare.Holder.Token + " from now on"})
		}
		if what, err = a.Choose(ctx, prompt.Prompt{ID: "restore.what", Message: prompt.Message{Title: title, Facts: []prompt.Fact{
			{Label: "Holder", Value: h.Holder.Name}, {Label: "Serial", Value: agreed.SerialText(h.Serial) + "   (sticker " + h.Holder.Token + ")"}}}, Question: "What has happened?"}, ways); err != nil {
			return err
		}
	}
	switch {
	case what == "pin":
		err = d.restorePIN(ctx, a, h)
	case what == "spare":
		err = d.useSpare(ctx, a, h)
	default:
		if h.Replacement == nil {
			err = d.beginReplacement(ctx, a, h, false)
		}
		if err == nil {
			err = d.restoreKey(ctx, a, h)
		}
	}
	if err == nil {
		d.done = true
	}
	return err
}

// restoreKey puts a root key from its backup on a fresh token.
func (d *Desk) restoreKey(ctx context.Context, a prompt.Room, h *state.Holder) error {
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
	prove := func(s *session.Session, pin *secret.Buffer) error {
		if fresh.Key == nil {
			return errors.New("the key is not on the token yet")
		}
		if err := d.prove(ctx, a, s, fresh, pin); err != nil || h.Spare == fresh {
			return err
		}
		return d.signCheckpoint(ctx, s, h, pin)
	}
	if fresh.Prepared == nil {
		pin, err := d.newPIN(ctx, a, fresh, info, prompt.CheckPIN)
		if err != nil {
			return err
		}
		defer pin.Wipe()
		if err := d.withToken(ctx, info.Serial, func(s *session.Session) error { return d.prepare(ctx, a, s, fresh, info, pin) }); err != nil {
			return err
		}
		if err := d.keyFromBackup(ctx, a, fresh); err != nil {
			return err
		}
		err = d.withToken(ctx, info.Serial, func(s *session.Session) error { return prove(s, pin) })
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
	if h.Spare == fresh {
		return a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": the spare token is ready", Facts: tokenFacts(info, fresh.Holder), Text: []string{
			"It has the same root key, and has proved it. Keep it in another place than the first one."}})
	}
	return a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": the key is restored", Facts: tokenFacts(info, h.Holder), Text: []string{
		"The new token has the root key of " + h.Holder.Name + ", and has proved it. It has its own key in 82: the backups of others that were sealed for the old token it does not open.",
		"The old token still holds the root key. If it was stolen, or turns up again, revoke the key, or reset the token before a witness."}})
}

// goOnOrGiveUp asks about a fresh token that was begun with: it may be lost too,
// or another one was meant.
func (d *Desk) goOnOrGiveUp(ctx context.Context, a prompt.Room, h *state.Holder) error {
	fresh := h.Replacement
	if fresh == nil {
		return nil
	}
	facts := []prompt.Fact{{Label: "Sticker", Value: fresh.Holder.Token}}
	if fresh.Serial != 0 {
		facts = append(facts, prompt.Fact{Label: "Serial", Value: agreed.SerialText(fresh.Serial)})
	}
	answer, err := a.Choose(ctx, prompt.Prompt{ID: "restore.goon " + h.Holder.ID, Message: prompt.Message{Title: h.Holder.Name + ": a fresh token was begun with", Facts: facts},
		Question: "Go on with it?"}, []prompt.Choice{{Key: "yes", Label: "Yes: it is here"}, {Key: "give-up", Label: "No: give it up, and do something else"}})
	if err != nil || answer == "yes" {
		return err
	}
	return d.record(state.TypeReplacementGiven, h.Holder.ID, state.ReplacementGivenUp{Act: fresh.Act(fresh.Serial), Why: "given up"})
}

// losesOpener says whose backups lose an opener when a holder's token is
// replaced.
func (d *Desk) losesOpener(h *state.Holder) []string {
	var lost []string
	for _, other := range d.state.Plan.Holders {
		b := d.state.Holders[other.ID].Backup(keys.BackupToken)
		if b == nil || other.ID == h.Holder.ID || !d.state.OpensStill(h.Holder.ID, b) {
			continue
		}
		left := slices.DeleteFunc(slices.Clone(b.Recipients), func(id string) bool { return id == h.Holder.ID || !d.state.OpensStill(id, b) })
		switch {
		case len(left) < b.Quorum:
			lost = append(lost, fmt.Sprintf("Then nobody can open the backup of %s any more: plan a rotation.", other.Name))
		case len(left) == b.Quorum:
			lost = append(lost, fmt.Sprintf("Then only %d can open the backup of %s, and all of them must come: plan a rotation.", len(left), other.Name))
		}
	}
	return lost
}

// useSpare makes the spare token the holder's.
func (d *Desk) useSpare(ctx context.Context, a prompt.Room, h *state.Holder) error {
	why, err := d.whyReplaced(ctx, a, h)
	if err != nil {
		return err
	}
	return d.record(state.TypeSpareUsed, h.Holder.ID, state.SpareUsed{Act: state.Act{Holder: h.Holder.ID, Serial: h.Spare.Serial}, Why: why})
}

func (d *Desk) whyReplaced(ctx context.Context, a prompt.Room, h *state.Holder) (string, error) {
	const usual = "token lost or broken"
	why, err := a.Ask(ctx, prompt.Prompt{ID: "restore.why", Enter: usual, Message: prompt.Message{Title: h.Holder.Name + ": another token",
		Text: append([]string{"The new token opens none of the backups that were sealed for the old one."}, d.losesOpener(h)...)},
		Question: "What has happened to the token " + h.Holder.Token + "? (Enter: " + usual + ")"}, func(string) error { return nil })
	return cmp.Or(strings.TrimSpace(why), usual), err
}

// beginReplacement asks which token gets the holder's key.
func (d *Desk) beginReplacement(ctx context.Context, a prompt.Room, h *state.Holder, spare bool) error {
	if err := d.canOpen(h, keys.BackupKey); err != nil {
		return err
	}
	title, why := h.Holder.Name+": a fresh token", "spare"
	if !spare {
		var err error
		if why, err = d.whyReplaced(ctx, a, h); err != nil {
			return err
		}
	}
	suggested, question := "", "What is on the sticker of the fresh token?"
	if i := slices.IndexFunc(d.tokens.Stickers, func(s string) bool { return d.state.StickerFree(s) == nil }); i >= 0 {
		suggested = d.tokens.Stickers[i]
		question += " (Enter: " + suggested + ")"
	}
	sticker, err := a.Ask(ctx, prompt.Prompt{ID: "restore.sticker", Enter: suggested, Message: prompt.Message{Title: title,
		Text: []string{"It gets a PIN of its own, a PUK and a management key, which are sealed as the first ones were, and then the root key."}}, Question: question},
		func(answer string) error {
			if strings.TrimSpace(answer) == "" && suggested != "" {
				return nil
			}
			answer = strings.TrimSpace(answer)
			if d.tokens.Plug != nil && !slices.Contains(d.tokens.Stickers, answer) {
				return fmt.Errorf("no virtual token has the sticker %q (hint: there are %s)", answer, strings.Join(d.tokens.Stickers, ", "))
			}
			return d.state.StickerFree(answer)
		})
	if err != nil {
		return err
	}
	if sticker = strings.TrimSpace(sticker); sticker == "" {
		sticker = suggested
	}
	return d.record(state.TypeReplacementBegun, h.Holder.ID, state.ReplacementBegun{Holder: h.Holder.ID, Sticker: sticker, Why: why, Spare: spare})
}

// keyFromBackup has a quorum open the backup of the key, and puts it on the
// fresh token.
func (d *Desk) keyFromBackup(ctx context.Context, a prompt.Room, fresh *state.Holder) error {
	_, err := d.openQuorum(ctx, a, fresh, keys.BackupKey, []string{fresh.Holder.Token}, func(s *session.Session, opened session.Opened) error {
		if err := matches(fresh, opened); err != nil {
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
func (d *Desk) restorePIN(ctx context.Context, a prompt.Room, h *state.Holder) error {
	if err := d.canOpen(h, keys.BackupToken); err != nil {
		return err
	}
	there, err := d.waitForToken(ctx, a, h, "restore.token "+h.Holder.ID, func(info keys.Info) error {
		if info.Serial != h.Serial {
			return fmt.Errorf("%s's token has the serial number %s, this one %s (hint: insert the token with the sticker %s)",
				h.Holder.Name, agreed.SerialText(h.Serial), agreed.SerialText(info.Serial), h.Holder.Token)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := d.settle(ctx, a, h, there[0]); err != nil {
		return err
	}
	if there[0].PUKTries == 0 {
		return d.blockedPUK(h, there[0])
	}
	pin, err := d.byQuorum(ctx, a, h, there[0])
	if err != nil {
		return err
	}
	pin.Wipe()
	return a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": the new PIN is set", Text: []string{"The token takes it, with all its tries."}})
}

// byBackup is the way out of a blocked PIN where the PUK has a backup.
func byBackup(h *state.Holder) []prompt.Choice {
	if h.Backup(keys.BackupToken) == nil {
		return nil
	}
	return []prompt.Choice{{Key: "quorum", Label: "Its recipients open the backup of the PUK"}}
}

// byQuorum has the holder choose a new PIN, and a quorum open the backup of the
// PUK by which it is set.
func (d *Desk) byQuorum(ctx context.Context, a prompt.Room, h *state.Holder, info keys.Info) (*secret.Buffer, error) {
	pin, err := d.newPIN(ctx, a, h, info, prompt.CheckPIN)
	if err != nil {
		return nil, err
	}
	_, err = d.openQuorum(ctx, a, h, keys.BackupToken, []string{h.Holder.Token}, func(s *session.Session, opened session.Opened) error {
		if err := matches(h, opened); err != nil {
			return err
		}
		if err := d.selectIn(ctx, a, s, h); err != nil {
			return err
		}
		on := h.Act(h.Serial)
		intention, err := d.intend(state.TypeUnblockIntended, h.Holder.ID, state.UnblockIntended{Act: on, FactoryPUK: false})
		if err != nil {
			return err
		}
		if err := s.UnblockFromBackup(pin); err != nil {
			return err
		}
		if err := s.CheckPIN(pin); err != nil {
			return err
		}
		return d.record(state.TypeUnblocked, h.Holder.ID, state.Result{Act: on, Intention: intention})
	})
	if err != nil {
		pin.Wipe()
		return nil, err
	}
	return pin, nil
}
