package ceremony

import (
	"context"
	"fmt"
	"time"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
)

// OnlyCheckup makes the desk one that looks, long before it is needed, whether
// tokens, PINs and recipients' identities still work.
func (d *Desk) OnlyCheckup() error {
	s := d.State()
	if s.Plan == nil || len(s.Names(func(h *state.Holder) bool { return h.Proved != nil })) == 0 {
		return fmt.Errorf("%s has no root keys yet: there is nothing to check up", d.dir)
	}
	d.only = d.checkupTasks
	return nil
}

func (d *Desk) checkupTasks() []prompt.Task {
	s := d.State()
	var tasks []prompt.Task
	for _, c := range s.CheckedUp() {
		t := prompt.Task{ID: "checkup " + c.Id, Group: prompt.GroupHolders, Title: c.Name, State: DoneIf(s.Passed[c.Key()] || d.done), Optional: true}
		t.Do = func(ctx context.Context, a prompt.Room) error { return d.checkupToken(ctx, a, c) }
		if c.Serial == 0 {
			t.Group = prompt.GroupRecipients
			t.Do = func(ctx context.Context, a prompt.Room) error {
				return d.checkupRecipient(ctx, a, *d.State().Outside(c.Who))
			}
		}
		tasks = append(tasks, t)
	}
	return append(tasks, prompt.Task{ID: "checkup end", Group: prompt.GroupEnd, Title: "End the check-up", State: DoneIf(d.done), Do: d.checkupEnd})
}

// checkupToken has a holder prove token and PIN: the key in 82 opens a test
// file, and the one in 9a signs a checkpoint of the log, but for a spare token,
// which signs none. The root key signs nothing. A PUK without tries does
// not keep the token from passing, and is a finding.
func (d *Desk) checkupToken(ctx context.Context, a prompt.Room, c state.Checked) error {
	v := d.visit(a, c.Who).with(c.Kind)
	there, err := v.waitForToken(ctx, "checkup.token "+c.Id, v.fitsSigning)
	if err != nil {
		return err
	}
	if err := v.settle(ctx, there[0]); err != nil {
		return err
	}
	pukBlocked := there[0].PUKTries == 0 && !v.now().NobodyHasPUK()
	err = v.withPIN(ctx, there[0].PINTries, func(v visit) error {
		h := v.now()
		want, answer, err := v.tokenOpensTest(ctx)
		if err != nil {
			return err
		}
		if string(answer) != want {
			return fmt.Errorf("what the token of %s opened is not what was sealed (hint: do not rely on this token; restore its key to another)", h.Holder.Name)
		}
		if err := v.d.record(state.TypeCheckupPassed, "room", state.CheckupPassed{Who: c.Who, Serial: h.Serial, Answer: want, PUKBlocked: pukBlocked}); err != nil {
			return err
		}
		if c.Id != c.Who {
			return nil
		}
		return v.signCheckpoint(ctx)
	})
	if err != nil {
		return err
	}
	title, text := c.Name+": all is well", []string{"The token is there with its root key, takes the PIN, and its other keys work. Put it back into its bag."}
	if pukBlocked {
		title = c.Name + ": the PUK is blocked"
		text = append(text, "But its PUK has no tries left: nobody can set a new PIN on this token, not even with a backup of the PUK. "+d.withoutPUK(c))
	}
	holes := there[0].Advisories()
	if len(holes) > 0 {
		text = append(text, fmt.Sprintf("A new key on a newer token ends the hole that is known: %s begins its plan.", agreed.Command("plan", "--kind", agreed.Rotate, "DIR")))
	}
	return a.Tell(ctx, prompt.Message{Title: title, Facts: HoleFacts(holes), Text: text})
}

// withoutPUK is what to do about a token that takes no PUK.
func (d *Desk) withoutPUK(c state.Checked) string {
	return fmt.Sprintf("If the PIN of %s is forgotten or blocked, the key on the token can sign no more. Do not wait for that: %s.", c.Name, d.otherToken(d.State().Holders[c.Who]))
}

// checkupRecipient has a recipient who is no holder open a test file again.
func (d *Desk) checkupRecipient(ctx context.Context, a prompt.Room, r agreed.BackupRecipient) error {
	if r.Passphrase {
		return d.checkupPassphrase(ctx, a, r)
	}
	person, err := d.person(r.ID)
	if err != nil {
		return err
	}
	want, answer, err := d.opensTest(ctx, a, r, person)
	if err != nil {
		return err
	}
	return d.recipientPassed(ctx, a, r, answer, want)
}

// checkupPassphrase has a passphrase open its own test file of the day.
func (d *Desk) checkupPassphrase(ctx context.Context, a prompt.Room, r agreed.BackupRecipient) error {
	file, err := d.testFile(r)
	if err != nil {
		return err
	}
	typed, answer, err := d.typedForTest(ctx, a, r, passphrasePrompt(r, "checkup.passphrase", "is it still known?", "It opens the test file that it has made on the day."), file)
	if err != nil {
		return err
	}
	typed.Wipe()
	return d.recipientPassed(ctx, a, r, answer, d.State().Recipients[r.ID].Answer)
}

func (d *Desk) recipientPassed(ctx context.Context, a prompt.Room, r agreed.BackupRecipient, answer []byte, want string) error {
	if string(answer) != want {
		return fmt.Errorf("%s has opened the test file, and what was in it is not what was sealed (hint: take the task again)", r.Name)
	}
	if err := d.record(state.TypeCheckupPassed, "room", state.CheckupPassed{Who: r.ID, Answer: want}); err != nil {
		return err
	}
	return a.Tell(ctx, prompt.Message{Title: r.Name + ": all is well", Text: []string{"It opens what is sealed for it."}})
}

// checkupEnd says who did not come, and dates the next one half-way to the
// root's expiry.
func (d *Desk) checkupEnd(ctx context.Context, a prompt.Room) error {
	s := d.State()
	var missing, names, blocked, text []string
	for _, c := range s.CheckedUp() {
		if s.PUKBlocked[c.Key()] {
			blocked = append(blocked, c.Id)
			text = append(text, fmt.Sprintf("The token of %s works, but its PUK has no tries left. %s", c.Name, d.withoutPUK(c)))
		}
		if !s.Passed[c.Key()] {
			missing, names = append(missing, c.Id), append(names, c.Name)
		}
	}
	expires := s.Plan.Expires
	if s.Draft != nil {
		expires = s.Draft.Expires
	}
	now := d.clock().UTC().Truncate(time.Second)
	next := now.Add(expires.Sub(now) / 2).Truncate(24 * time.Hour)
	switch {
	case len(names) > 0:
		text = append(text, tuf.Listed(names, "and")+" did not come. What nobody has tried may not work on the day it is needed: have them come soon.")
	case len(blocked) == 0:
		text = append(text, "Everybody came, and everything works.")
	}
	if !expires.After(now) {
		next = now
		text = append(text, "The root has expired: rotate it now.")
	}
	if err := d.record(state.TypeCheckupDone, "room", state.CheckupDone{Missing: append([]string{}, missing...), PUKBlocked: blocked, Next: next}); err != nil {
		return err
	}
	d.done = true
	return a.Tell(ctx, prompt.Message{Title: "The check-up has ended", Facts: []prompt.Fact{{Label: "Next one", Value: next.Format("2006-01-02")}, {Label: "Root expires", Value: expires.Format("2006-01-02")}}, Text: text})
}
