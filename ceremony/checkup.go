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
	"rootceremony/keys/session"
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

// checked is who can be looked at: a token of a holder, or a recipient who is
// none.
type checked struct {
	id    string // of tasks, and of those missing: "alice", "alice spare"
	who   string // of the holder or recipient
	name  string
	token *HolderState // nil: a recipient who is no holder
}

// serial is that of the token, or 0.
func (c checked) serial() uint32 {
	if c.token == nil {
		return 0
	}
	return c.token.Serial
}

// key is who has passed, with what: another token in its place has not.
func (c checked) key() string { return passedKey(c.who, c.serial()) }

func passedKey(who string, serial uint32) string { return fmt.Sprint(who, " ", serial) }

// checkedUp are holders with their tokens, each followed by its spare, then
// recipients who are none.
func (s *State) checkedUp() []checked {
	var all []checked
	for _, plan := range s.Plan.Holders {
		h := s.Holders[plan.ID]
		if h.Proved != nil || h.ofTrusted() && h.Prepared != nil && h.Prepared.Age != (keys.PublicKey{}) {
			all = append(all, checked{plan.ID, plan.ID, plan.Name, h})
		}
		if h.Spare != nil {
			all = append(all, checked{plan.ID + " spare", plan.ID, plan.Name + ", spare", h.Spare})
		}
	}
	if s.Plan.Backup != nil {
		for _, r := range s.Plan.Backup.Recipients {
			if s.Recipients[r.ID] != nil {
				all = append(all, checked{r.ID, r.ID, r.Name, nil})
			}
		}
	}
	return all
}

func (d *Desk) checkupTasks() []Task {
	s := d.state
	var tasks []Task
	for _, c := range s.checkedUp() {
		t := Task{ID: "checkup " + c.id, Group: groupHolders, Title: c.name, State: doneIf(s.Passed[c.key()] || d.done), Optional: true}
		t.do = func(ctx context.Context, a Attendant) error { return d.checkupToken(ctx, a, c) }
		if c.token == nil {
			t.Group = groupRecipients
			t.do = func(ctx context.Context, a Attendant) error { return d.checkupRecipient(ctx, a, *s.outside(c.who)) }
		}
		tasks = append(tasks, t)
	}
	return append(tasks, Task{ID: "checkup end", Group: groupEnd, Title: "End the check-up", State: doneIf(d.done), do: d.checkupEnd})
}

// checkupToken has a holder prove token and PIN: the key in 82 opens a test
// file, and the one in 9a signs the head of the log, but for a spare token,
// which signs no heads. The root key signs nothing. A PUK without tries does
// not keep the token from passing, and is a finding.
func (d *Desk) checkupToken(ctx context.Context, a Attendant, c checked) error {
	h := c.token
	there, err := d.waitForToken(ctx, a, h, "checkup.token "+c.id, func(info keys.Info) error { return fitsSigning(h, info) })
	if err != nil {
		return err
	}
	if err := d.settle(ctx, a, h, there[0]); err != nil {
		return err
	}
	pukBlocked := there[0].PUKTries == 0 && !h.nobodyHasPUK()
	err = d.withPIN(ctx, a, h, there[0].PINTries, func(s *session.Session, pin *secret.Buffer) error {
		want, answer, err := d.tokenOpensTest(ctx, a, s, h, pin)
		if err != nil {
			return err
		}
		if string(answer) != want {
			return fmt.Errorf("what the token of %s opened is not what was sealed (hint: do not rely on this token; restore its key to another)", h.Holder.Name)
		}
		if err := d.record(TypeCheckupPassed, h.Holder.ID, CheckupPassed{Who: h.Holder.ID, Serial: h.Serial, Answer: want, PUKBlocked: pukBlocked}); err != nil {
			return err
		}
		if c.id != c.who {
			return nil
		}
		return d.signHead(ctx, s, h, pin)
	})
	if err != nil {
		return err
	}
	title, text := c.name+": all is well", []string{"The token is there with its root key, takes the PIN, and its other keys work. Put it back into its bag."}
	if pukBlocked {
		title = c.name + ": the PUK is blocked"
		text = append(text, "But its PUK has no tries left: nobody can set a new PIN on this token, not even with a backup of the PUK. "+d.withoutPUK(c))
	}
	return a.Tell(ctx, Message{Title: title, Text: text})
}

// withoutPUK is what to do about a token that takes no PUK.
func (d *Desk) withoutPUK(c checked) string {
	return fmt.Sprintf("If the PIN of %s is forgotten or blocked, the key on the token can sign no more. Do not wait for that: %s.", c.name, d.otherToken(d.state.Holders[c.who]))
}

// checkupRecipient has a recipient who is no holder open a test file again.
func (d *Desk) checkupRecipient(ctx context.Context, a Attendant, r BackupRecipient) error {
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
	var missing, names, blocked, text []string
	for _, c := range s.checkedUp() {
		if s.PUKBlocked[c.key()] {
			blocked = append(blocked, c.id)
			text = append(text, fmt.Sprintf("The token of %s works, but its PUK has no tries left. %s", c.name, d.withoutPUK(c)))
		}
		if !s.Passed[c.key()] {
			missing, names = append(missing, c.id), append(names, c.name)
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
		text = append(text, listed(names)+" did not come. What nobody has tried may not work on the day it is needed: have them come soon.")
	case len(blocked) == 0:
		text = append(text, "Everybody came, and everything works.")
	}
	if !expires.After(now) {
		next = now
		text = append(text, "The root has expired: rotate it now.")
	}
	if err := d.record(TypeCheckupDone, "room", CheckupDone{Missing: append([]string{}, missing...), PUKBlocked: blocked, Next: next}); err != nil {
		return err
	}
	d.done = true
	return a.Tell(ctx, Message{Title: "The check-up has ended", Facts: []Fact{{"Next one", next.Format("2006-01-02")}, {"Root expires", expires.Format("2006-01-02")}}, Text: text})
}

func (s *State) checkupPassed(e transcript.Event) error {
	var data CheckupPassed
	if err := read(e, &data); err != nil {
		return err
	}
	all := slices.DeleteFunc(s.checkedUp(), func(c checked) bool { return c.who != data.Who })
	if len(all) == 0 {
		return fmt.Errorf("%q is nobody who is checked up", data.Who)
	}
	if answer, err := hex.DecodeString(data.Answer); err != nil || len(answer) != 32 {
		return errors.New("it is not the answer to a test file")
	}
	if !slices.ContainsFunc(all, func(c checked) bool { return c.serial() == data.Serial }) {
		return fmt.Errorf("%s has no token %d in use", all[0].name, data.Serial)
	}
	s.Passed[passedKey(data.Who, data.Serial)] = true
	s.PUKBlocked[passedKey(data.Who, data.Serial)] = data.PUKBlocked
	return nil
}

func (s *State) checkupDone(e transcript.Event) error {
	var data CheckupDone
	if err := read(e, &data); err != nil {
		return err
	}
	for _, c := range s.checkedUp() {
		if slices.Contains(data.Missing, c.id) == s.Passed[c.key()] {
			return fmt.Errorf("the list of those who did not come is wrong about %q", c.id)
		}
		if slices.Contains(data.PUKBlocked, c.id) != s.PUKBlocked[c.key()] {
			return fmt.Errorf("the list of blocked PUKs is wrong about %q", c.id)
		}
	}
	s.Checkups = append(s.Checkups, &data)
	s.Passed, s.PUKBlocked = map[string]bool{}, map[string]bool{}
	return nil
}
