package ceremony

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/confine"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
	"rootceremony/keys/backup"
	"rootceremony/keys/plainfile"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// IdentitiesDir is where a rehearsal keeps the identities of recipients that
// are no tokens, as NAME.txt.
const IdentitiesDir = "rehearsal/identities"

func (d *Desk) recipientTask(r agreed.BackupRecipient) prompt.Task {
	t := prompt.Task{ID: "recipient " + r.ID, Group: prompt.GroupRecipients, Title: r.Name, State: DoneIf(d.State().Recipients[r.ID] != nil)}
	if t.State == prompt.Done && d.State().Recipients[r.ID].Absent {
		t.Reason = "was not there"
	}
	t.Do = func(ctx context.Context, a prompt.Room) error { return d.proveRecipient(ctx, a, r) }
	return t
}

// proveRecipient has a recipient who is no holder show that a test file can be
// opened, before anything is sealed.
func (d *Desk) proveRecipient(ctx context.Context, a prompt.Room, r agreed.BackupRecipient) error {
	if r.Passphrase {
		return d.provePassphrase(ctx, a, r)
	}
	title := r.Name + ": can it open backups?"
	person, err := d.person(r.ID)
	if err != nil {
		return err
	}
	here, err := a.Choose(ctx, prompt.Prompt{ID: "recipient.here " + r.ID, Message: prompt.Message{Title: title, Facts: []prompt.Fact{{Label: "Recipient", Value: r.Age}},
		Text: []string{"Before anything is sealed for it, it opens a test file here. That shows that the identity is there and is the right one."}},
		Question: "Is the identity of " + r.Name + " here?"},
		[]prompt.Choice{{Key: "yes", Label: "Yes: its file can be read now"}, {Key: "absent", Label: "No: go on without the test, as an exception"}})
	if err != nil {
		return err
	}
	if here == "absent" {
		const happened, decided = "its identity is not here", "backups are sealed for it untested"
		err := d.exception(state.Account{Expected: "each recipient of backups opens a test file", Happened: happened, Decided: decided},
			state.Account{Expected: r.Name + " opens a test file", Happened: happened, Decided: decided})
		if err != nil {
			return err
		}
		return d.record(state.TypeRecipientProved, "room", state.RecipientProved{Recipient: r.ID, Age: person.Text, Absent: true})
	}
	want, answer, err := d.opensTest(ctx, a, r, person)
	if err != nil {
		return err
	}
	return d.recipientAnswered(state.RecipientProved{Recipient: r.ID, Age: person.Text, Answer: want}, answer)
}

// opensTest has a recipient open a new test file with its identity. It returns
// what is in the file, and what came out.
func (d *Desk) opensTest(ctx context.Context, a prompt.Room, r agreed.BackupRecipient, person backup.Person) (want string, answer []byte, err error) {
	file, want, err := challenge(person)
	if err != nil {
		return "", nil, err
	}
	answer, err = d.withIdentity(ctx, a, r, backup.OpenOrder{Test: r.ID, By: backup.ByIdentity}, file, func(*session.Session, session.Opened) error { return nil })
	return want, answer, err
}

// MissingPlugins says of each recipient of a plan's backups whose plugin doesn't
// run on this laptop what is wrong, and what to do.
func MissingPlugins(r *agreed.Plan) []string {
	var missing []string
	if r.Backup == nil {
		return nil
	}
	for _, b := range r.Backup.Recipients {
		recipient, err := b.Parse()
		if err != nil || recipient.Kind != keys.RecipientPlugin {
			continue
		}
		if err := backup.PluginReady(recipient.Plugin); err != nil {
			missing = append(missing, fmt.Sprintf("on this laptop nothing can be sealed for %s, or opened by it: %v", b.Name, err))
		}
	}
	return missing
}

// person is a recipient as orders name it, without the test file of a
// passphrase.
func (d *Desk) person(id string) (backup.Person, error) {
	text, err := d.State().RecipientText(id)
	if err != nil {
		return backup.Person{}, err
	}
	return backup.Person{Name: d.State().RecipientName(id), Slug: id, Text: text}, nil
}

// challenge makes a test file for a recipient.
func challenge(person backup.Person) (file []byte, want string, err error) {
	recipient, err := person.Recipient()
	if err != nil {
		return nil, "", err
	}
	return backup.Challenge(recipient)
}

// recipientAnswered records a proof, once the answer is the right one.
func (d *Desk) recipientAnswered(proof state.RecipientProved, answer []byte) error {
	if string(answer) != proof.Answer {
		return fmt.Errorf("%s has opened the test file, and what was in it is not what was sealed (hint: take the task again)", d.State().RecipientName(proof.Recipient))
	}
	return d.record(state.TypeRecipientProved, "room", proof)
}

// provePassphrase has a passphrase typed twice: it makes a test file and opens
// it. The file stays, and every passphrase that is typed later must open it.
func (d *Desk) provePassphrase(ctx context.Context, a prompt.Room, r agreed.BackupRecipient) error {
	person, err := d.person(r.ID)
	if err != nil {
		return err
	}
	first, err := a.AskSecret(ctx, passphrasePrompt(r, "recipient.passphrase", "choose its passphrase",
		"Five random words or more. Anyone who knows it is this recipient. It is asked for again at every key."), backup.CheckPassphrase)
	if err != nil {
		return err
	}
	defer first.Wipe()
	var made backup.TestFile
	err = d.withSession(ctx, func(s *session.Session) error {
		opened, err := s.OpenBackup(ctx, session.BackupOrder{Open: orderOf(backup.OpenOrder{Make: &person}), Secrets: []*secret.Buffer{first}}, nil)
		if err == nil {
			err = json.Unmarshal(opened.Data, &made)
		}
		return err
	})
	if err != nil {
		return err
	}
	again, answer, err := d.typedForTest(ctx, a, r, passphrasePrompt(r, "recipient.again", "the same passphrase again",
		"It opens the test file that the first one has made."), made.Data)
	if err != nil {
		return err
	}
	again.Wipe()
	test := state.Written{Name: state.TestFile(r.ID, agreed.DigestOf(made.Data)), Text: made.Data}
	if err := d.write(test); err != nil {
		return err
	}
	file := test.File()
	return d.recipientAnswered(state.RecipientProved{Recipient: r.ID, Age: person.Text, Answer: made.Want, Test: &file}, answer)
}

func passphrasePrompt(r agreed.BackupRecipient, id, what, text string) prompt.Prompt {
	return prompt.Prompt{ID: id + " " + r.ID, Message: prompt.Message{Title: r.Name + ": " + what, Text: []string{text}},
		Question: "Type the passphrase of " + r.Name + ":"}
}

// typedForTest has the passphrase typed that opens a test file. It returns the
// passphrase, which the caller wipes, and what was in the file.
func (d *Desk) typedForTest(ctx context.Context, a prompt.Room, r agreed.BackupRecipient, p prompt.Prompt, file []byte) (*secret.Buffer, []byte, error) {
	var answer []byte
	typed, err := d.openByPassphrase(ctx, a, p, backup.OpenOrder{Test: r.ID, By: backup.ByPassphrase}, file, func(_ *session.Session, opened session.Opened) error {
		answer = opened.Data
		return nil
	})
	return typed, answer, err
}

// openByPassphrase asks for a passphrase until it opens a layer, in a session
// in which then runs. It returns the passphrase, which the caller wipes.
func (d *Desk) openByPassphrase(ctx context.Context, a prompt.Room, p prompt.Prompt, order backup.OpenOrder, file []byte, then func(*session.Session, session.Opened) error) (*secret.Buffer, error) {
	for {
		typed, err := a.AskSecret(ctx, p, notEmptySecret)
		if err != nil {
			return nil, err
		}
		wrong, err := d.openIn(ctx, session.BackupOrder{Ciphertext: file, Open: orderOf(order), Secrets: []*secret.Buffer{typed}}, then)
		if err == nil {
			return typed, nil
		}
		typed.Wipe()
		if !errors.Is(wrong, keys.ErrWrongIdentity) {
			return nil, err
		}
		p = askedAgain(p, wrong)
	}
}

func notEmptySecret(typed *secret.Buffer) error {
	if typed.Len() == 0 {
		return errors.New("a passphrase is not empty")
	}
	return nil
}

// openIn opens a layer in a session of its own, in which then runs. refused is
// why the layer was not opened.
func (d *Desk) openIn(ctx context.Context, order session.BackupOrder, then func(*session.Session, session.Opened) error) (refused, err error) {
	err = d.withSession(ctx, func(s *session.Session) error {
		opened, err := s.OpenBackup(ctx, order, nil)
		if err != nil {
			refused = err
			return err
		}
		return then(s, opened)
	})
	return refused, err
}

// askedAgain is a prompt after an answer that was not the right one.
func askedAgain(p prompt.Prompt, why error) prompt.Prompt {
	p.Again, p.Text = why, []string{"That did not open it: " + why.Error() + "."}
	return p
}

// proveToken has a holder's token open a test file with its key in 82.
func (v visit) proveToken(ctx context.Context) error {
	text, err := v.d.State().RecipientText(v.holder)
	if err != nil {
		return err
	}
	want, answer, err := v.tokenOpensTest(ctx)
	if err != nil {
		return err
	}
	return v.d.recipientAnswered(state.RecipientProved{Recipient: v.holder, Age: text, Answer: want}, answer)
}

// tokenOpensTest has the selected token open a new test file. It returns what is
// in the file, and what came out.
func (v visit) tokenOpensTest(ctx context.Context) (want string, answer []byte, err error) {
	h := v.now()
	text, err := h.RecipientText()
	if err != nil {
		return "", nil, err
	}
	file, want, err := challenge(backup.Person{Name: h.Holder.Name, Slug: v.holder, Text: text})
	if err != nil {
		return "", nil, err
	}
	opened, err := v.openByToken(ctx, backup.OpenOrder{Test: v.holder, By: backup.ByToken}, file, "open a test file")
	return want, opened.Data, err
}

// openByToken opens a layer with the key in 82 of the selected token.
func (v visit) openByToken(ctx context.Context, order backup.OpenOrder, file []byte, why string) (session.Opened, error) {
	return v.s.OpenBackup(ctx, session.BackupOrder{Ciphertext: file, Open: orderOf(order), PIN: v.pin}, func(ctx context.Context) error {
		return v.a.WaitForTouch(ctx, v.touchPrompt(why), v.d.tokens.Plug != nil)
	})
}

// touchPrompt asks for a touch.
func (v visit) touchPrompt(why string) prompt.Prompt {
	h := v.now().Holder
	return prompt.Prompt{ID: "holder.touch " + v.holder, Message: prompt.Message{Title: h.Name + ": touch the token",
		Facts: []prompt.Fact{{Label: "To", Value: why}}}, Question: h.Name + ", touch the token " + h.Token + " now."}
}

func orderOf(order backup.OpenOrder) json.RawMessage {
	text, _ := json.Marshal(order) // of strings and numbers
	return text
}

// withIdentity opens a layer with an identity that is read from a file, in a
// session of its own, in which then runs. It returns what may leave it.
func (d *Desk) withIdentity(ctx context.Context, a prompt.Room, r agreed.BackupRecipient, order backup.OpenOrder, file []byte, then func(*session.Session, session.Opened) error) ([]byte, error) {
	title := r.Name + ": its identity"
	suggested := ""
	question := "File of the identity of " + r.Name + ":"
	if d.State().Begun.Rehearsal {
		suggested = filepath.Join(d.identities(), r.ID+".txt")
		question = fmt.Sprintf("File of the identity of %s (Enter: %s):", r.Name, suggested)
	}
	p := prompt.Prompt{ID: "identity " + r.ID, Enter: suggested, Message: prompt.Message{Title: title,
		Text: []string{"It is read from its medium, such as a stick from the safe, and never copied to this laptop's disk."}}, Question: question}
	for {
		identity, err := askIdentity(ctx, a, p)
		if err != nil {
			return nil, err
		}
		defer identity.Wipe()
		out, refused, err := d.openByIdentity(ctx, a, r, session.BackupOrder{Ciphertext: file, Open: orderOf(order), Secrets: []*secret.Buffer{identity}}, then)
		if !errors.Is(refused, keys.ErrWrongIdentity) {
			return out, err
		}
		p = askedAgain(p, refused)
	}
}

// askIdentity asks for the file of an identity, and reads it.
func askIdentity(ctx context.Context, a prompt.Room, p prompt.Prompt) (identity *secret.Buffer, err error) {
	_, err = a.Ask(ctx, p, func(name string) (err error) {
		if name = strings.TrimSpace(name); name == "" {
			name = p.Enter
		}
		identity.Wipe()
		identity, err = readSecret(name)
		return err
	})
	if err != nil {
		identity.Wipe()
		return nil, err
	}
	return identity, nil
}

// openByIdentity opens a layer with an identity, whose own passphrase is asked
// for until it is right, if it has one. refused is why the layer was not opened.
func (d *Desk) openByIdentity(ctx context.Context, a prompt.Room, r agreed.BackupRecipient, order session.BackupOrder, then func(*session.Session, session.Opened) error) (out []byte, refused, err error) {
	p := prompt.Prompt{ID: "identity.passphrase " + r.ID, Message: prompt.Message{Title: r.Name + ": its identity",
		Text: []string{"The identity file is itself encrypted with a passphrase."}}, Question: "Passphrase of the identity file of " + r.Name + ":"}
	for {
		refused, err = d.openIn(ctx, order, func(s *session.Session, opened session.Opened) error {
			out = opened.Data
			return then(s, opened)
		})
		switch {
		case errors.Is(refused, keys.ErrWrongPassphrase):
			p = askedAgain(p, refused)
		case !errors.Is(refused, keys.ErrIdentityLocked):
			return out, refused, err
		}
		passphrase, err := a.AskSecret(ctx, p, notEmptySecret)
		if err != nil {
			return nil, nil, err
		}
		defer passphrase.Wipe()
		order.Secrets = []*secret.Buffer{order.Secrets[0], passphrase}
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
	file, err := plainfile.Open(name, os.O_RDONLY, math.MaxInt64)
	if err != nil {
		return nil, confine.Explain(err)
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
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
func (d *Desk) withSession(ctx context.Context, do func(*session.Session) error) error {
	child, err := d.tokens.Start(ctx)
	if err != nil {
		return err
	}
	defer child.Close()
	return do(child)
}

// sealOrder says for whom a holder's backups are sealed.
func (v visit) sealOrder() (json.RawMessage, error) {
	holder, err := v.d.person(v.holder)
	if err != nil {
		return nil, err
	}
	s := v.d.State()
	order := backup.SealOrder{Holder: holder, Quorum: s.Plan.Backup.Quorum}
	for _, id := range s.RecipientIDs(v.now()) {
		person, err := v.d.person(id)
		if err != nil {
			return nil, err
		}
		if test := s.Recipients[id].Test; test != nil {
			if person.Test, err = v.d.testFile(*s.Outside(id)); err != nil {
				return nil, err
			}
		}
		order.Recipients = append(order.Recipients, person)
	}
	return json.Marshal(order)
}

// passphrases asks for the passphrases of the recipients of a holder's backups.
func (v visit) passphrases(ctx context.Context) ([]*secret.Buffer, error) {
	var all []*secret.Buffer
	for _, r := range v.d.State().Plan.Backup.Recipients {
		if !r.Passphrase {
			continue
		}
		test, err := v.d.testFile(r)
		if err != nil {
			wipeAll(all)
			return nil, err
		}
		typed, _, err := v.d.typedForTest(ctx, v.a, r, passphrasePrompt(r, "seal.passphrase", "its passphrase, for the backups of "+v.now().Holder.Name,
			"It is compared with the test file that it has opened before."), test)
		if err != nil {
			wipeAll(all)
			return nil, err
		}
		all = append(all, typed)
	}
	return all, nil
}

// testFile is the test file that a passphrase has made on the day.
func (d *Desk) testFile(r agreed.BackupRecipient) ([]byte, error) {
	test := d.State().Recipients[r.ID].Test
	data, err := transcript.ReadFile(d.path(test.Name))
	if err == nil && agreed.DigestOf(data) != test.SHA256 {
		err = fmt.Errorf("%s is not the test file that %s has made: its SHA-256 is %s, and was %s", test.Name, r.Name, agreed.DigestOf(data), test.SHA256)
	}
	return data, err
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
