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
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// OnlyRestore makes the desk one that restores from backups, and nothing else.
func (d *Desk) OnlyRestore() error {
	if s := d.State(); s.Plan == nil || s.Plan.Backup == nil || len(s.Restorable()) == 0 {
		return fmt.Errorf("%s has no backups that are in use: there is nothing to restore from", d.dir)
	}
	d.only = func() []prompt.Task {
		tasks := []prompt.Task{{ID: "restore", Title: "Restore from a backup", State: DoneIf(d.done), Do: d.restore}}
		if d.done && !d.State().CopiedEnough() {
			tasks = append(tasks, d.copiesTask()) // of what was sealed for the fresh token
		}
		return tasks
	}
	return nil
}

// spareTask puts a holder's root key on a second token.
func (d *Desk) spareTask(h *state.Holder) prompt.Task {
	t := prompt.Task{ID: "spare " + h.Holder.ID, Group: prompt.GroupKeys, Title: h.Holder.Name + ", spare", State: DoneIf(h.Spare != nil || len(h.Former) > 0)}
	if missing := d.State().Names(func(h *state.Holder) bool { return !h.Counts() }); len(missing) > 0 {
		t.Block("waits for the keys of " + tuf.Listed(missing, "and"))
	}
	id := h.Holder.ID
	t.Do = func(ctx context.Context, a prompt.Room) error {
		v := d.visit(a, id)
		if h := v.now(); h.Replacement != nil && !h.Replacement.ForSpare {
			return fmt.Errorf("another token is about to take the place of the one of %s (hint: take the task Restore from a backup first)", h.Holder.Name)
		}
		if err := v.goOnOrGiveUp(ctx); err != nil {
			return err
		}
		if v.now().Replacement == nil {
			if err := v.beginReplacement(ctx, true); err != nil {
				return err
			}
		}
		return v.restoreKey(ctx)
	}
	return t
}

// restore brings back what was lost: a key on a fresh token, or the PIN of one
// that is there.
func (d *Desk) restore(ctx context.Context, a prompt.Room) error {
	title := "Restore from a backup"
	if missing := d.State().RecipientsMissing(); len(missing) > 0 {
		return fmt.Errorf("%s must show first that they open backups, as what the new token gets is sealed for them (hint: take their tasks first)", tuf.Listed(missing, "and"))
	}
	var choices []prompt.Choice
	for _, h := range d.State().Restorable() {
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
	v := d.visit(a, id)
	if err := v.goOnOrGiveUp(ctx); err != nil {
		return err
	}
	what, h := "key", v.now()
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
		err = v.restorePIN(ctx)
	case what == "spare":
		err = v.useSpare(ctx)
	default:
		if h.Replacement == nil {
			err = v.beginReplacement(ctx, false)
		}
		if err == nil {
			err = v.restoreKey(ctx)
		}
	}
	if err == nil {
		d.done = true
	}
	return err
}

// restoreKey puts a root key from its backup on a fresh token.
func (v visit) restoreKey(ctx context.Context) error {
	fresh := v.with(state.ReplacementToken)
	spare := fresh.now().ForSpare
	info, err := fresh.enrolToken(ctx)
	if err != nil {
		return err
	}
	if err := fresh.settle(ctx, info); err != nil {
		return err
	}
	if err := fresh.noticeReset(ctx, info); err != nil {
		return err
	}
	if info, err = fresh.wipeIfNeeded(ctx, info); err != nil {
		return err
	}
	prove := func(fresh visit) error {
		if fresh.now().Key == nil {
			return errors.New("the key is not on the token yet")
		}
		if err := fresh.prove(ctx); err != nil || spare {
			return err
		}
		return fresh.with(state.OwnToken).signCheckpoint(ctx) // which it is now
	}
	if fresh.now().Prepared == nil {
		pin, err := fresh.newPIN(ctx, info, prompt.CheckPIN)
		if err != nil {
			return err
		}
		defer pin.Wipe()
		if err := v.d.withToken(ctx, info.Serial, func(s *session.Session) error { return fresh.in(s, pin).prepare(ctx, info) }); err != nil {
			return err
		}
		if err := fresh.keyFromBackup(ctx); err != nil {
			return err
		}
		err = v.d.withToken(ctx, info.Serial, func(s *session.Session) error { return prove(fresh.in(s, pin)) })
		if err != nil {
			return err
		}
	} else {
		if fresh.now().Key == nil {
			if err := fresh.keyFromBackup(ctx); err != nil {
				return err
			}
		}
		if err := fresh.withPIN(ctx, info.PINTries, prove); err != nil {
			return err
		}
	}
	h := v.now().Holder
	if spare {
		return v.a.Tell(ctx, prompt.Message{Title: h.Name + ": the spare token is ready", Facts: append(tokenFacts(info, v.with(state.SpareToken).now().Holder), HoleFacts(info.Advisories(v.d.State().Plan.Token.Algorithm))...), Write: v.with(state.SpareToken).card(), Text: []string{
			"It has the same root key, and has proved it. Keep it in another place than the first one."}})
	}
	return v.a.Tell(ctx, prompt.Message{Title: h.Name + ": the key is restored", Facts: append(tokenFacts(info, h), HoleFacts(info.Advisories(v.d.State().Plan.Token.Algorithm))...), Write: v.card(), Text: []string{
		"The new token has the root key of " + h.Name + ", and has proved it. It has its own key in 82: the backups of others that were sealed for the old token it does not open.",
		"The old token still holds the root key. If it was stolen, or turns up again, revoke the key, or reset the token before a witness."}})
}

// goOnOrGiveUp asks about a fresh token that was begun with: it may be lost too,
// or another one was meant.
func (v visit) goOnOrGiveUp(ctx context.Context) error {
	h := v.now()
	fresh := h.Replacement
	if fresh == nil {
		return nil
	}
	facts := []prompt.Fact{{Label: "Sticker", Value: fresh.Holder.Token}}
	if fresh.Serial != 0 {
		facts = append(facts, prompt.Fact{Label: "Serial", Value: agreed.SerialText(fresh.Serial)})
	}
	answer, err := v.a.Choose(ctx, prompt.Prompt{ID: "restore.goon " + v.holder, Message: prompt.Message{Title: h.Holder.Name + ": a fresh token was begun with", Facts: facts},
		Question: "Go on with it?"}, []prompt.Choice{{Key: "yes", Label: "Yes: it is here"}, {Key: "give-up", Label: "No: give it up, and do something else"}})
	if err != nil || answer == "yes" {
		return err
	}
	if err := v.record(state.TypeReplacementGiven, state.ReplacementGivenUp{Act: fresh.Act(fresh.Serial), Why: "given up"}); err != nil {
		return err
	}
	return v.d.endAlarms()
}

// losesOpener says whose backups lose an opener when a holder's token is
// replaced.
func (v visit) losesOpener() []string {
	s := v.d.State()
	var lost []string
	for _, other := range s.Plan.Holders {
		b := s.Holders[other.ID].Backup(keys.BackupToken)
		if b == nil || other.ID == v.holder || !s.OpensStill(v.holder, b) {
			continue
		}
		left := slices.DeleteFunc(slices.Clone(b.Recipients), func(id string) bool { return id == v.holder || !s.OpensStill(id, b) })
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
func (v visit) useSpare(ctx context.Context) error {
	why, err := v.whyReplaced(ctx)
	if err != nil {
		return err
	}
	return v.record(state.TypeSpareUsed, state.SpareUsed{Act: state.Act{Holder: v.holder, Serial: v.now().Spare.Serial}, Why: why})
}

func (v visit) whyReplaced(ctx context.Context) (string, error) {
	const usual = "token lost or broken"
	h := v.now().Holder
	why, err := v.a.Ask(ctx, prompt.Prompt{ID: "restore.why", Enter: usual, Message: prompt.Message{Title: h.Name + ": another token",
		Text: append([]string{"The new token opens none of the backups that were sealed for the old one."}, v.losesOpener()...)},
		Question: "What has happened to the token " + h.Token + "? (Enter: " + usual + ")"}, func(string) error { return nil })
	return cmp.Or(strings.TrimSpace(why), usual), err
}

// beginReplacement asks which token gets the holder's key.
func (v visit) beginReplacement(ctx context.Context, spare bool) error {
	if err := v.canOpen(keys.BackupKey); err != nil {
		return err
	}
	title, why := v.now().Holder.Name+": a fresh token", "spare"
	if !spare {
		var err error
		if why, err = v.whyReplaced(ctx); err != nil {
			return err
		}
	}
	suggested, question := "", "What is on the sticker of the fresh token?"
	if i := slices.IndexFunc(v.d.tokens.Stickers, func(s string) bool { return v.d.State().StickerFree(s) == nil }); i >= 0 {
		suggested = v.d.tokens.Stickers[i]
		question += " (Enter: " + suggested + ")"
	}
	sticker, err := v.a.Ask(ctx, prompt.Prompt{ID: "restore.sticker", Enter: suggested, Message: prompt.Message{Title: title,
		Text: []string{"It gets a PIN of its own, a PUK and a management key, which are sealed as the first ones were, and then the root key."}}, Question: question},
		func(answer string) error {
			if strings.TrimSpace(answer) == "" && suggested != "" {
				return nil
			}
			answer = strings.TrimSpace(answer)
			if v.d.tokens.Plug != nil && !slices.Contains(v.d.tokens.Stickers, answer) {
				return fmt.Errorf("no virtual token has the sticker %q (hint: there are %s)", answer, strings.Join(v.d.tokens.Stickers, ", "))
			}
			return v.d.State().StickerFree(answer)
		})
	if err != nil {
		return err
	}
	if sticker = strings.TrimSpace(sticker); sticker == "" {
		sticker = suggested
	}
	return v.record(state.TypeReplacementBegun, state.ReplacementBegun{Holder: v.holder, Sticker: sticker, Why: why, Spare: spare})
}

// keyFromBackup has a quorum open the backup of the key, and puts it on the
// fresh token.
func (v visit) keyFromBackup(ctx context.Context) error {
	_, err := v.openQuorum(ctx, keys.BackupKey, []string{v.now().Holder.Token}, func(v visit, opened session.Opened) error {
		if err := v.matches(opened); err != nil {
			return err
		}
		if err := v.selectIn(ctx); err != nil {
			return err
		}
		return v.makeKey(ctx)
	})
	return err
}

// restorePIN sets a new PIN by the PUK in a backup.
func (v visit) restorePIN(ctx context.Context) error {
	if err := v.canOpen(keys.BackupToken); err != nil {
		return err
	}
	there, err := v.waitForToken(ctx, "restore.token "+v.holder, func(info keys.Info) error {
		if h := v.now(); info.Serial != h.Serial {
			return fmt.Errorf("%s's token has the serial number %s, this one %s (hint: insert the token with the sticker %s)",
				h.Holder.Name, agreed.SerialText(h.Serial), agreed.SerialText(info.Serial), h.Holder.Token)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := v.settle(ctx, there[0]); err != nil {
		return err
	}
	if there[0].PUKTries == 0 {
		return v.blockedPUK(there[0])
	}
	pin, err := v.byQuorum(ctx, there[0])
	if err != nil {
		return err
	}
	pin.Wipe()
	return v.a.Tell(ctx, prompt.Message{Title: v.now().Holder.Name + ": the new PIN is set", Text: []string{"The token takes it, with all its tries."}})
}

// byBackup is the way out of a blocked PIN where the PUK has a backup.
func (v visit) byBackup() []prompt.Choice {
	if v.now().Backup(keys.BackupToken) == nil {
		return nil
	}
	return []prompt.Choice{{Key: "quorum", Label: "Its recipients open the backup of the PUK"}}
}

// byQuorum has the holder choose a new PIN, and a quorum open the backup of the
// PUK by which it is set.
func (v visit) byQuorum(ctx context.Context, info keys.Info) (*secret.Buffer, error) {
	pin, err := v.newPIN(ctx, info, prompt.CheckPIN)
	if err != nil {
		return nil, err
	}
	_, err = v.openQuorum(ctx, keys.BackupToken, []string{v.now().Holder.Token}, func(v visit, opened session.Opened) error {
		if err := v.matches(opened); err != nil {
			return err
		}
		if err := v.selectIn(ctx); err != nil {
			return err
		}
		err := v.setFromBackup(pin)
		if errors.As(err, new(*keys.PINRefusedError)) {
			pin, err = v.untilTaken(ctx, info, pin, prompt.CheckPIN, v.setFromBackup)
		}
		return err
	})
	if err != nil {
		pin.Wipe()
		return nil, err
	}
	return pin, nil
}

// setFromBackup announces a new PIN, has the token set it by the PUK of the opened
// backup, proves it, and records it.
func (v visit) setFromBackup(pin *secret.Buffer) error {
	h := v.now()
	on := h.Act(h.Serial)
	intention, err := v.intend(state.TypeUnblockIntended, state.UnblockIntended{Act: on, FactoryPUK: false})
	if err != nil {
		return err
	}
	err = v.s.UnblockFromBackup(pin)
	if errors.As(err, new(*keys.PINRefusedError)) {
		return errors.Join(err, v.record(state.TypeSettled, state.Settled{Result: state.Result{Act: on, Intention: intention}, Found: "the token did not take the new PIN", State: state.SettledNothing}))
	}
	if err != nil {
		return err
	}
	if err := v.s.CheckPIN(pin); err != nil {
		return err
	}
	return v.record(state.TypeUnblocked, state.Result{Act: on, Intention: intention})
}
