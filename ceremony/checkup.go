package ceremony

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// OnlyCheckup makes the desk one that looks, long before it is needed, whether
// tokens, PINs and recipients' identities still work.
func (d *Desk) OnlyCheckup() error {
	s := d.state
	if s.Plan == nil || len(s.names(func(h *HolderState) bool { return h.Proved != nil })) == 0 {
		return fmt.Errorf("%s has no root keys yet: there is nothing to check up", d.dir)
	}
	d.only = d.checkupTasks
	return nil
}

// checkedUp are those who can be looked at, by id: holders, then recipients who
// are none.
func (s *State) checkedUp() []string {
	var ids []string
	for _, h := range s.Plan.Holders {
		if s.Holders[h.ID].Proved != nil {
			ids = append(ids, h.ID)
		}
	}
	if s.Plan.Backup != nil {
		for _, r := range s.Plan.Backup.Recipients {
			if s.Recipients[r.ID] != nil {
				ids = append(ids, r.ID)
			}
		}
	}
	return ids
}

func (d *Desk) checkupTasks() []Task {
	s := d.state
	var tasks []Task
	for _, id := range s.checkedUp() {
		t := Task{ID: "checkup " + id, Group: groupHolders, Title: s.recipientName(id), State: doneIf(s.Passed[id] || d.done), Optional: true}
		t.do = func(ctx context.Context, a Attendant) error { return d.checkupHolder(ctx, a, s.Holders[id]) }
		if s.Holders[id] == nil {
			t.Group = groupRecipients
			t.do = func(ctx context.Context, a Attendant) error { return d.checkupRecipient(ctx, a, *s.outside(id)) }
		}
		tasks = append(tasks, t)
	}
	return append(tasks, Task{ID: "checkup end", Group: groupEnd, Title: "End the check-up", State: doneIf(d.done), do: d.checkupEnd})
}

// checkupHolder has a holder prove token and PIN: the key in 9a signs the head
// of the log, and the one in 82 opens a test file. The root key signs nothing.
func (d *Desk) checkupHolder(ctx context.Context, a Attendant, h *HolderState) error {
	there, err := d.waitForToken(ctx, a, h, "checkup.token "+h.Holder.ID, func(info keys.Info) error { return fitsSigning(h, info) })
	if err != nil {
		return err
	}
	if err := d.settle(ctx, a, h, there[0]); err != nil {
		return err
	}
	err = d.withPIN(ctx, a, h, there[0].PINTries, func(s *keys.Session, pin *secret.Buffer) error {
		want, answer, err := d.tokenOpensTest(ctx, a, s, h, pin)
		if err != nil {
			return err
		}
		if string(answer) != want {
			return fmt.Errorf("what the token of %s opened is not what was sealed (hint: do not rely on this token; restore its key to another)", h.Holder.Name)
		}
		if err := d.record(TypeCheckupPassed, h.Holder.ID, CheckupPassed{h.Holder.ID, h.Serial, want}); err != nil {
			return err
		}
		return d.signHead(ctx, s, h, pin)
	})
	if err != nil {
		return err
	}
	return a.Tell(ctx, Message{Title: h.Holder.Name + ": all is well", Text: []string{"The token is there with its root key, takes the PIN, signs, and opens what is sealed for it. Put it back into its bag."}})
}

// checkupRecipient has a recipient who is no holder open a test file again.
func (d *Desk) checkupRecipient(ctx context.Context, a Attendant, r BackupRecipient) error {
	if r.Passphrase {
		return d.checkupPassphrase(ctx, a, r)
	}
	person, err := d.state.person(r.ID)
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
func (d *Desk) checkupPassphrase(ctx context.Context, a Attendant, r BackupRecipient) error {
	file, err := d.testFile(r)
	if err != nil {
		return err
	}
	typed, answer, err := d.typedForTest(ctx, a, r, passphrasePrompt(r, "checkup.passphrase", "is it still known?", "It opens the test file that it has made on the day."), file)
	if err != nil {
		return err
	}
	typed.Wipe()
	return d.recipientPassed(ctx, a, r, answer, d.state.Recipients[r.ID].Answer)
}

func (d *Desk) recipientPassed(ctx context.Context, a Attendant, r BackupRecipient, answer []byte, want string) error {
	if string(answer) != want {
		return fmt.Errorf("%s has opened the test file, and what was in it is not what was sealed (hint: take the task again)", r.Name)
	}
	if err := d.record(TypeCheckupPassed, r.ID, CheckupPassed{Who: r.ID, Answer: want}); err != nil {
		return err
	}
	return a.Tell(ctx, Message{Title: r.Name + ": all is well", Text: []string{"It opens what is sealed for it."}})
}

// checkupEnd says who did not come, and dates the next one half-way to the
// root's expiry.
func (d *Desk) checkupEnd(ctx context.Context, a Attendant) error {
	s := d.state
	var missing, names []string
	for _, id := range s.checkedUp() {
		if !s.Passed[id] {
			missing, names = append(missing, id), append(names, s.recipientName(id))
		}
	}
	expires := s.Plan.Expires
	if s.Draft != nil {
		expires = s.Draft.Expires
	}
	now := d.clock().UTC().Truncate(time.Second)
	next := now.Add(expires.Sub(now) / 2).Truncate(24 * time.Hour)
	text := "Everybody came, and everything works."
	if len(names) > 0 {
		text = listed(names) + " did not come. What nobody has tried may not work on the day it is needed: have them come soon."
	}
	if !expires.After(now) {
		next = now
		text += " The root has expired: rotate it now."
	}
	if err := d.record(TypeCheckupDone, "room", CheckupDone{append([]string{}, missing...), next}); err != nil {
		return err
	}
	d.done = true
	return a.Tell(ctx, Message{Title: "The check-up has ended", Facts: []Fact{{"Next one", next.Format("2006-01-02")}, {"Root expires", expires.Format("2006-01-02")}}, Text: []string{text}})
}

func (s *State) checkupPassed(e transcript.Event) error {
	var data CheckupPassed
	if err := read(e, &data); err != nil {
		return err
	}
	if !slices.Contains(s.checkedUp(), data.Who) {
		return fmt.Errorf("%q is nobody who is checked up", data.Who)
	}
	if answer, err := hex.DecodeString(data.Answer); err != nil || len(answer) != 32 {
		return errors.New("it is not the answer to a test file")
	}
	if h := s.Holders[data.Who]; h != nil && h.Serial != data.Serial {
		return fmt.Errorf("%s's token is %d, not %d", h.Holder.Name, h.Serial, data.Serial)
	}
	s.Passed[data.Who] = true
	return nil
}

func (s *State) checkupDone(e transcript.Event) error {
	var data CheckupDone
	if err := read(e, &data); err != nil {
		return err
	}
	for _, id := range s.checkedUp() {
		if slices.Contains(data.Missing, id) == s.Passed[id] {
			return fmt.Errorf("the list of those who did not come is wrong about %q", id)
		}
	}
	s.Checkups = append(s.Checkups, &data)
	s.Passed = map[string]bool{}
	return nil
}
