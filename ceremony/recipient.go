package ceremony

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"rootceremony/keys"
	"rootceremony/keys/backup"
	"rootceremony/keys/secret"
)

// IdentitiesDir is where a rehearsal keeps the identities of recipients that
// are no tokens, as NAME.txt.
const IdentitiesDir = "rehearsal/identities"

func (d *Desk) recipientTask(r BackupRecipient) Task {
	t := Task{ID: "recipient " + r.ID, Group: groupRecipients, Title: r.Name, State: doneIf(d.state.Recipients[r.ID] != nil)}
	if t.State == Done && d.state.Recipients[r.ID].Absent {
		t.Reason = "was not there"
	}
	t.do = func(ctx context.Context, a Attendant) error { return d.proveRecipient(ctx, a, r) }
	return t
}

// proveRecipient has a recipient who is no holder show that a test file can be
// opened, before anything is sealed.
func (d *Desk) proveRecipient(ctx context.Context, a Attendant, r BackupRecipient) error {
	if r.Passphrase {
		return d.provePassphrase(ctx, a, r)
	}
	title := r.Name + ": can it open backups?"
	person, err := d.state.person(r.ID)
	if err != nil {
		return err
	}
	here, err := a.Choose(ctx, Prompt{ID: "recipient.here " + r.ID, Message: Message{Title: title, Facts: []Fact{{"Recipient", r.Age}},
		Text: []string{"Before anything is sealed for it, it opens a test file here. That shows that the identity is there and is the right one."}},
		Question: "Is the identity of " + r.Name + " here?"},
		[]Choice{{"yes", "Yes: its file can be read now"}, {"absent", "No: go on without the test, as an exception"}})
	if err != nil {
		return err
	}
	if here == "absent" {
		if err := d.Exception(r.Name+" opens a test file", "its identity is not here", "backups are sealed for it untested"); err != nil {
			return err
		}
		return d.record(TypeRecipientProved, r.ID, RecipientProved{Recipient: r.ID, Age: person.Text, Absent: true})
	}
	recipient, err := person.Recipient()
	if err != nil {
		return err
	}
	file, want, err := backup.Challenge(recipient)
	if err != nil {
		return err
	}
	answer, err := d.withIdentity(ctx, a, r, backup.OpenOrder{Test: r.ID, By: backup.ByIdentity}, file, func(_ *keys.Session, opened keys.Opened) error {
		return nil
	})
	if err != nil {
		return err
	}
	return d.recipientAnswered(RecipientProved{Recipient: r.ID, Age: person.Text, Answer: want}, answer)
}

// recipientAnswered records a proof, once the answer is the right one.
func (d *Desk) recipientAnswered(proof RecipientProved, answer []byte) error {
	if string(answer) != proof.Answer {
		return fmt.Errorf("%s has opened the test file, and what was in it is not what was sealed (hint: take the task again)", d.state.recipientName(proof.Recipient))
	}
	return d.record(TypeRecipientProved, proof.Recipient, proof)
}

// provePassphrase has a passphrase typed twice: it makes a test file and opens
// it. The file stays, and every passphrase that is typed later must open it.
func (d *Desk) provePassphrase(ctx context.Context, a Attendant, r BackupRecipient) error {
	person, err := d.state.person(r.ID)
	if err != nil {
		return err
	}
	first, err := d.askPassphrase(ctx, a, r, "recipient.passphrase "+r.ID, "choose its passphrase",
		"Five random words or more. Whoever knows it is this recipient. It is asked for again at every key.")
	if err != nil {
		return err
	}
	defer first.Wipe()
	var made backup.TestFile
	err = d.withSession(ctx, func(s *keys.Session) error {
		opened, err := s.OpenBackup(ctx, keys.BackupOrder{Open: orderOf(backup.OpenOrder{Make: &person}), Secrets: []*secret.Buffer{first}}, nil)
		if err == nil {
			err = json.Unmarshal(opened.Data, &made)
		}
		return err
	})
	if err != nil {
		return err
	}
	again, err := d.askPassphrase(ctx, a, r, "recipient.again "+r.ID, "the same passphrase again", "It opens the test file that the first one has made.")
	if err != nil {
		return err
	}
	defer again.Wipe()
	var answer []byte
	err = d.withSession(ctx, func(s *keys.Session) error {
		opened, err := s.OpenBackup(ctx, keys.BackupOrder{Ciphertext: made.Data, Open: orderOf(backup.OpenOrder{Test: r.ID, By: backup.ByPassphrase}), Secrets: []*secret.Buffer{again}}, nil)
		answer = opened.Data
		return err
	})
	if err != nil {
		return err
	}
	test := written{testFile(r.ID, digestOf(made.Data)), made.Data}
	if err := d.write(test); err != nil {
		return err
	}
	file := test.file()
	return d.recipientAnswered(RecipientProved{Recipient: r.ID, Age: person.Text, Answer: made.Want, Test: &file}, answer)
}

func (d *Desk) askPassphrase(ctx context.Context, a Attendant, r BackupRecipient, id, what, text string) (*secret.Buffer, error) {
	return a.AskSecret(ctx, Prompt{ID: id, Message: Message{Title: r.Name + ": " + what, Text: []string{text}},
		Question: "Type the passphrase of " + r.Name + ":"}, func(p *secret.Buffer) error {
		if p.Len() < backup.MinPassphrase {
			return fmt.Errorf("a passphrase has %d characters or more", backup.MinPassphrase)
		}
		return nil
	})
}

// proveToken has a holder's token open a test file with its key in 82.
func (d *Desk) proveToken(ctx context.Context, a Attendant, s *keys.Session, h *HolderState, pin *secret.Buffer) error {
	person, err := d.state.person(h.Holder.ID)
	if err != nil {
		return err
	}
	recipient, err := person.Recipient()
	if err != nil {
		return err
	}
	file, want, err := backup.Challenge(recipient)
	if err != nil {
		return err
	}
	opened, err := d.openByToken(ctx, a, s, h, pin, backup.OpenOrder{Test: h.Holder.ID, By: backup.ByToken}, file, "open a test file")
	if err != nil {
		return err
	}
	return d.recipientAnswered(RecipientProved{Recipient: h.Holder.ID, Age: person.Text, Answer: want}, opened.Data)
}

// openByToken opens a layer with the key in 82 of the selected token.
func (d *Desk) openByToken(ctx context.Context, a Attendant, s *keys.Session, h *HolderState, pin *secret.Buffer, order backup.OpenOrder, file []byte, why string) (keys.Opened, error) {
	return s.OpenBackup(ctx, keys.BackupOrder{Ciphertext: file, Open: orderOf(order), PIN: pin}, func(ctx context.Context) error {
		return a.WaitForTouch(ctx, d.touchPrompt(h, why), d.tokens.Plug != nil)
	})
}

// touchPrompt asks for a touch.
func (d *Desk) touchPrompt(h *HolderState, why string) Prompt {
	return Prompt{ID: "holder.touch " + h.Holder.ID, Message: Message{Title: h.Holder.Name + ": touch the token",
		Facts: []Fact{{"To", why}}}, Question: h.Holder.Name + ", touch the token " + h.Holder.Token + " now."}
}

func orderOf(order backup.OpenOrder) json.RawMessage {
	text, _ := json.Marshal(order) // of strings and numbers
	return text
}

// withIdentity opens a layer with an identity that is read from a file, in a
// session of its own, in which then runs. It returns what may leave it.
func (d *Desk) withIdentity(ctx context.Context, a Attendant, r BackupRecipient, order backup.OpenOrder, file []byte, then func(*keys.Session, keys.Opened) error) ([]byte, error) {
	title := r.Name + ": its identity"
	suggested := ""
	question := "File of the identity of " + r.Name + ":"
	if d.state.Begun.Rehearsal {
		suggested = filepath.Join(d.identities(), r.ID+".txt")
		question = fmt.Sprintf("File of the identity of %s (Enter: %s):", r.Name, suggested)
	}
	var identity *secret.Buffer
	defer func() { identity.Wipe() }()
	_, err := a.Ask(ctx, Prompt{ID: "identity " + r.ID, Enter: suggested, Message: Message{Title: title,
		Text: []string{"It is read from its medium, such as a stick from the safe, and never copied to this laptop's disk."}}, Question: question},
		func(name string) (err error) {
			if name = strings.TrimSpace(name); name == "" {
				name = suggested
			}
			identity.Wipe()
			identity, err = readSecret(name)
			return err
		})
	if err != nil {
		return nil, err
	}
	secrets := []*secret.Buffer{identity}
	var opened keys.Opened
	for {
		err := d.withSession(ctx, func(s *keys.Session) (err error) {
			opened, err = s.OpenBackup(ctx, keys.BackupOrder{Ciphertext: file, Open: orderOf(order), Secrets: secrets}, nil)
			if err != nil {
				return err
			}
			return then(s, opened)
		})
		if err == nil || len(secrets) > 1 || !strings.Contains(err.Error(), backup.ErrLocked.Error()) {
			return opened.Data, err
		}
		passphrase, err := a.AskSecret(ctx, Prompt{ID: "identity.passphrase " + r.ID, Message: Message{Title: title,
			Text: []string{"The identity file is itself encrypted with a passphrase."}}, Question: "Passphrase of the identity file of " + r.Name + ":"}, nil)
		if err != nil {
			return nil, err
		}
		defer passphrase.Wipe()
		secrets = append(secrets, passphrase)
	}
}

// identities is the folder that the identities of a rehearsal are in.
func (d *Desk) identities() string {
	if d.tokens.Identities != "" {
		return d.tokens.Identities
	}
	return filepath.Join(d.dir, filepath.FromSlash(IdentitiesDir))
}

// maxIdentity is the largest identity file that is read, in bytes.
const maxIdentity = 16 << 10

// readSecret reads a small file into locked memory.
func readSecret(name string) (*secret.Buffer, error) {
	if name == "" {
		return nil, errors.New("name the file")
	}
	// Opening a pipe would wait for whoever writes into it.
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a plain file", name)
	case info.Size() == 0 || info.Size() > maxIdentity:
		return nil, fmt.Errorf("%s has %d bytes: no identity file (hint: choose the one with the line AGE-SECRET-KEY-1...)", name, info.Size())
	}
	text, err := secret.New(int(info.Size()))
	if err != nil {
		return nil, err
	}
	for at := 0; at < text.Len(); {
		n, err := file.Read(text.Bytes()[at:])
		if at += n; err != nil {
			text.Wipe()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return text, nil
}

// withSession runs do with a session of its own, in which no token is selected.
func (d *Desk) withSession(ctx context.Context, do func(*keys.Session) error) error {
	session, err := d.tokens.Start(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	return do(session)
}

// sealOrder says for whom a holder's backups are sealed.
func (d *Desk) sealOrder(h *HolderState) (json.RawMessage, error) {
	holder, err := d.state.person(h.Holder.ID)
	if err != nil {
		return nil, err
	}
	order := backup.SealOrder{Holder: holder, Quorum: d.state.Plan.Backup.Quorum}
	for _, id := range d.state.recipientIDs(h) {
		person, err := d.state.person(id)
		if err != nil {
			return nil, err
		}
		if test := d.state.Recipients[id].Test; test != nil {
			if person.Test, err = os.ReadFile(d.path(test.Name)); err != nil {
				return nil, err
			}
		}
		order.Recipients = append(order.Recipients, person)
	}
	return json.Marshal(order)
}

// passphrases asks for the passphrases of the recipients of a holder's backups.
func (d *Desk) passphrases(ctx context.Context, a Attendant, h *HolderState) ([]*secret.Buffer, error) {
	var all []*secret.Buffer
	for _, r := range d.state.Plan.Backup.Recipients {
		if !r.Passphrase {
			continue
		}
		typed, err := d.askPassphrase(ctx, a, r, "seal.passphrase "+r.ID, "its passphrase, for the backups of "+h.Holder.Name,
			"It is compared with the test file that it has opened before.")
		if err != nil {
			wipeAll(all)
			return nil, err
		}
		all = append(all, typed)
	}
	return all, nil
}

func wipeAll(secrets []*secret.Buffer) {
	for _, s := range secrets {
		s.Wipe()
	}
}

// newAttempt names a folder of backups that does not exist yet.
func newAttempt() string {
	var name [4]byte
	_, _ = rand.Read(name[:]) // never fails
	return hex.EncodeToString(name[:])
}
