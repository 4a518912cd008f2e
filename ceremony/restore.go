package ceremony

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// afterTheDay are the events that a closed ceremony still takes: it is carried
// away, backups and tokens live on, and what speaks against its root is never
// refused.
var afterTheDay = map[string]bool{
	TypeReplacementBegun: true, TypeReplacementGiven: true, TypeSpareUsed: true, TypeStartedOver: true, TypeSettled: true, TypeHeadSigned: true,
	TypeWipeIntended: true, TypeWiped: true, TypePrepareIntended: true, TypePrepared: true,
	TypeKeyIntended: true, TypeBackupStored: true, TypeKeyMade: true, TypeKeyProved: true,
	TypeUnblockIntended: true, TypeUnblocked: true, TypeCopiesWritten: true, TypeCopiesRead: true,
	TypeCheckupPassed: true, TypeCheckupDone: true,
	TypeCarryIntended: true, TypeCarried: true, TypeNotCarried: true,
	TypeSigRival: true, // proof that there is, or may be, a second root
}

// OnlyRestore makes the desk one that restores from backups, and nothing else.
func (d *Desk) OnlyRestore() error {
	if d.state.Plan == nil || d.state.Plan.Backup == nil || len(d.state.restorable()) == 0 {
		return fmt.Errorf("%s has no backups that are in use: there is nothing to restore from", d.dir)
	}
	d.only = func() []Task {
		tasks := []Task{{ID: "restore", Title: "Restore from a backup", State: doneIf(d.done), do: d.restore}}
		if d.done && !d.state.copiedEnough() {
			tasks = append(tasks, d.copiesTask()) // of what was sealed for the fresh token
		}
		return tasks
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
	if err := s.stickerFree(data.Sticker); err != nil {
		return err
	}
	holder := h.Holder
	holder.Token = data.Sticker
	if data.Spare && (!holder.Spare || h.Spare != nil) {
		return errors.New("the plan has no spare token for that holder, or there is one")
	}
	h.Replacement = &HolderState{Holder: holder, replaces: h, spare: data.Spare}
	return nil
}

// takePlace makes a replacement, whose root key is proved, the holder's token,
// or the spare one.
func (h *HolderState) takePlace() {
	own := h.replaces
	if h.spare {
		h.spare = false
		own.Spare, own.Replacement = h, nil
		return
	}
	own.Former, own.stickers = append(own.Former, own.Serial), append(own.stickers, own.Holder.Token)
	own.Holder, own.Serial, own.Prepared, own.Key, own.Proved = h.Holder, h.Serial, h.Prepared, h.Key, h.Proved
	own.Stored = append(own.Stored, h.Stored...)
	own.Open, own.Replacement = nil, nil
	if own.Spare == h {
		own.Spare = nil
	}
}

func (s *State) replacementGivenUp(e transcript.Event) error {
	var data ReplacementGivenUp
	if err := read(e, &data); err != nil {
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
	h.Replacement = nil
	return nil
}

func (s *State) spareUsed(e transcript.Event) error {
	var data SpareUsed
	if err := read(e, &data); err != nil {
		return err
	}
	h := s.Holders[data.Holder]
	if h == nil || h.Spare == nil || h.Spare.Serial != data.Serial || h.Open != nil || h.Replacement != nil {
		return errors.New("that holder has no such spare token, or something was begun with the other")
	}
	h.Spare.takePlace()
	return nil
}

// spareTask puts a holder's root key on a second token.
func (d *Desk) spareTask(h *HolderState) Task {
	t := Task{ID: "spare " + h.Holder.ID, Group: groupKeys, Title: h.Holder.Name + ", spare", State: doneIf(h.Spare != nil || len(h.Former) > 0)}
	if missing := d.state.names(func(h *HolderState) bool { return !h.counts() }); len(missing) > 0 {
		t.block("waits for the keys of " + listed(missing))
	}
	t.do = func(ctx context.Context, a Attendant) error {
		if h.Replacement != nil && !h.Replacement.spare {
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
	if err := d.goOnOrGiveUp(ctx, a, h); err != nil {
		return err
	}
	what := "key"
	if h.Replacement == nil {
		ways := []Choice{{"key", "The token is lost or broken: put the key on a fresh one"}, {"pin", "The PIN is forgotten or blocked: set a new one"}}
		if h.backup(keys.BackupKey) == nil {
			ways = ways[1:]
		}
		if h.Spare != nil {
			ways = append(ways, Choice{"spare", "The token is lost or broken: use the spare " + h.Spare.Holder.Token + " from now on"})
		}
		if what, err = a.Choose(ctx, Prompt{ID: "restore.what", Message: Message{Title: title, Facts: []Fact{
			{"Holder", h.Holder.Name}, {"Serial", serialText(h.Serial) + "   (sticker " + h.Holder.Token + ")"}}}, Question: "What has happened?"}, ways); err != nil {
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
func (d *Desk) restoreKey(ctx context.Context, a Attendant, h *HolderState) error {
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
		return d.signHead(ctx, s, h, pin)
	}
	if fresh.Prepared == nil {
		pin, err := d.newPIN(ctx, a, fresh, info, checkPIN)
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
		return a.Tell(ctx, Message{Title: h.Holder.Name + ": the spare token is ready", Facts: tokenFacts(info, fresh.Holder), Text: []string{
			"It has the same root key, and has proved it. Keep it in another place than the first one."}})
	}
	return a.Tell(ctx, Message{Title: h.Holder.Name + ": the key is restored", Facts: tokenFacts(info, h.Holder), Text: []string{
		"The new token has the root key of " + h.Holder.Name + ", and has proved it. It has its own key in 82: the backups of others that were sealed for the old token it does not open.",
		"The old token still holds the root key. If it was stolen, or turns up again, revoke the key, or reset the token before a witness."}})
}

// goOnOrGiveUp asks about a fresh token that was begun with: it may be lost too,
// or another one was meant.
func (d *Desk) goOnOrGiveUp(ctx context.Context, a Attendant, h *HolderState) error {
	fresh := h.Replacement
	if fresh == nil {
		return nil
	}
	facts := []Fact{{"Sticker", fresh.Holder.Token}}
	if fresh.Serial != 0 {
		facts = append(facts, Fact{"Serial", serialText(fresh.Serial)})
	}
	answer, err := a.Choose(ctx, Prompt{ID: "restore.goon " + h.Holder.ID, Message: Message{Title: h.Holder.Name + ": a fresh token was begun with", Facts: facts},
		Question: "Go on with it?"}, []Choice{{"yes", "Yes: it is here"}, {"give-up", "No: give it up, and do something else"}})
	if err != nil || answer == "yes" {
		return err
	}
	return d.record(TypeReplacementGiven, h.Holder.ID, ReplacementGivenUp{fresh.act(fresh.Serial), "given up"})
}

// losesOpener says whose backups lose an opener when a holder's token is
// replaced.
func (d *Desk) losesOpener(h *HolderState) []string {
	var lost []string
	for _, other := range d.state.Plan.Holders {
		b := d.state.Holders[other.ID].backup(keys.BackupToken)
		if b == nil || other.ID == h.Holder.ID || !d.state.opensStill(h.Holder.ID, b) {
			continue
		}
		left := slices.DeleteFunc(slices.Clone(b.Recipients), func(id string) bool { return id == h.Holder.ID || !d.state.opensStill(id, b) })
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
func (d *Desk) useSpare(ctx context.Context, a Attendant, h *HolderState) error {
	why, err := d.whyReplaced(ctx, a, h)
	if err != nil {
		return err
	}
	return d.record(TypeSpareUsed, h.Holder.ID, SpareUsed{Act{Holder: h.Holder.ID, Serial: h.Spare.Serial}, why})
}

func (d *Desk) whyReplaced(ctx context.Context, a Attendant, h *HolderState) (string, error) {
	const usual = "token lost or broken"
	why, err := a.Ask(ctx, Prompt{ID: "restore.why", Enter: usual, Message: Message{Title: h.Holder.Name + ": another token",
		Text: append([]string{"The new token opens none of the backups that were sealed for the old one."}, d.losesOpener(h)...)},
		Question: "What has happened to the token " + h.Holder.Token + "? (Enter: " + usual + ")"}, func(string) error { return nil })
	return cmp.Or(strings.TrimSpace(why), usual), err
}

// beginReplacement asks which token gets the holder's key.
func (d *Desk) beginReplacement(ctx context.Context, a Attendant, h *HolderState, spare bool) error {
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
			answer = strings.TrimSpace(answer)
			if d.tokens.Plug != nil && !slices.Contains(d.tokens.Stickers, answer) {
				return fmt.Errorf("no virtual token has the sticker %q (hint: there are %s)", answer, strings.Join(d.tokens.Stickers, ", "))
			}
			return d.state.stickerFree(answer)
		})
	if err != nil {
		return err
	}
	if sticker = strings.TrimSpace(sticker); sticker == "" {
		sticker = suggested
	}
	return d.record(TypeReplacementBegun, h.Holder.ID, ReplacementBegun{h.Holder.ID, sticker, why, spare})
}

// stickerFree tells whose token has that sticker already.
func (s *State) stickerFree(sticker string) error {
	if err := checkSticker(sticker); err != nil {
		return err
	}
	for _, h := range s.Plan.Holders { // as planned, as it is now, and as it was
		state := s.Holders[h.ID]
		taken := append([]string{h.Token, state.Holder.Token}, state.stickers...)
		for _, other := range []*HolderState{state.Spare, state.Replacement} {
			if other != nil {
				taken = append(taken, other.Holder.Token)
			}
		}
		if slices.ContainsFunc(taken, func(t string) bool { return fold(t) == fold(sticker) }) {
			return fmt.Errorf("the sticker %s is on a token of %s (hint: a sticker of its own for each token)", sticker, h.Name)
		}
		if spare := s.Holders[h.ID].Spare; spare != nil && fold(spare.Holder.Token) == fold(sticker) {
			return fmt.Errorf("the sticker %s is on the spare token of %s (hint: a sticker of its own for each token)", sticker, h.Name)
		}
	}
	return nil
}

// keyFromBackup has a quorum open the backup of the key, and puts it on the
// fresh token.
func (d *Desk) keyFromBackup(ctx context.Context, a Attendant, fresh *HolderState) error {
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
func (d *Desk) restorePIN(ctx context.Context, a Attendant, h *HolderState) error {
	if err := d.canOpen(h, keys.BackupToken); err != nil {
		return err
	}
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
	if there[0].PUKTries == 0 {
		return d.blockedPUK(h, there[0])
	}
	pin, err := d.byQuorum(ctx, a, h, there[0])
	if err != nil {
		return err
	}
	pin.Wipe()
	return a.Tell(ctx, Message{Title: h.Holder.Name + ": the new PIN is set", Text: []string{"The token takes it, with all its tries."}})
}

// byBackup is the way out of a blocked PIN where the PUK has a backup.
func byBackup(h *HolderState) []Choice {
	if h.backup(keys.BackupToken) == nil {
		return nil
	}
	return []Choice{{"quorum", "Its recipients open the backup of the PUK"}}
}

// byQuorum has the holder choose a new PIN, and a quorum open the backup of the
// PUK by which it is set.
func (d *Desk) byQuorum(ctx context.Context, a Attendant, h *HolderState, info keys.Info) (*secret.Buffer, error) {
	pin, err := d.newPIN(ctx, a, h, info, checkPIN)
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
