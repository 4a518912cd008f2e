package audit_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
)

// events are those of the log in a directory.
func events(dir string) ([]transcript.Event, error) {
	public, private, err := transcript.ReadFiles(dir)
	if err != nil {
		return nil, err
	}
	read, err := transcript.Read(public, private)
	if err != nil {
		return nil, err
	}
	return read.Events, nil
}

// event is a line that a forger writes.
type event struct {
	transcript.Event
	data  map[string]json.RawMessage
	order []string // of its members
	t     testing.TB
}

// take takes the members of the event's data.
func (e *event) take() {
	e.t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(e.Data))
	_, err := decoder.Token()
	for err == nil && decoder.More() {
		var name json.Token
		var value json.RawMessage
		if name, err = decoder.Token(); err == nil {
			err = decoder.Decode(&value)
		}
		e.order, e.data[fmt.Sprint(name)] = append(e.order, fmt.Sprint(name)), value
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

// json is the data, with its members in the order in which they were.
func (e *event) json() json.RawMessage {
	var members []string
	for _, name := range e.order {
		if value, there := e.data[name]; there {
			members = append(members, fmt.Sprintf("%q:%s", name, value))
		}
	}
	return json.RawMessage("{" + strings.Join(members, ",") + "}")
}

func (e *event) set(member string, value any) {
	e.t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		e.t.Fatal(err)
	}
	if !slices.Contains(e.order, member) {
		e.order = append(e.order, member)
	}
	e.data[member] = text
}

func (e *event) text(member string) string {
	var s string
	_ = json.Unmarshal(e.data[member], &s)
	return s
}

// holder is whom the event is about.
func (e *event) holder() string { return e.text("holder") }

// forger writes a log again, as somebody does who can write the directory, and has
// no holder's token: every hash is right again, and every signature that they can
// make.
type forger struct {
	t   testing.TB
	r   *record
	log *transcript.Log
}

// forge writes the log of a record again. change is given each event, and says
// whether it stays.
func (r *record) forge(t testing.TB, change func(*forger, *event) bool) {
	t.Helper()
	all, err := events(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	now := noon
	dir := t.TempDir()
	log, err := transcript.Create(dir, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	f := &forger{t, r, log}
	moved := map[int64]int64{}
	for _, was := range all {
		e := &event{Event: was, t: t, data: map[string]json.RawMessage{}}
		e.take()
		var intention int64
		if json.Unmarshal(e.data["intention"], &intention) == nil && moved[intention] != intention {
			e.set("intention", moved[intention])
		}
		if !change(f, e) {
			continue
		}
		now = e.Time
		var private any
		if e.Private != nil {
			private = e.Private
		}
		written, err := log.Append(e.Type, e.By, e.json(), private, nil)
		if err != nil {
			t.Fatal(err)
		}
		moved[was.Seq] = written.Seq
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	public, private, err := transcript.ReadFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, transcript.FileName, public)
	if private != nil {
		r.write(t, transcript.PrivateName, private)
	}
}

// append writes an event of the forger's own.
func (f *forger) append(kind, by string, data any) {
	f.t.Helper()
	if _, err := f.log.Append(kind, by, data, nil, nil); err != nil {
		f.t.Fatal(err)
	}
}

// state is what the log says, as far as it is written.
func (f *forger) state() *state.State {
	f.t.Helper()
	now, err := state.Fold(f.log.Events())
	if err != nil {
		f.t.Fatal(err)
	}
	return now
}

// software are keys that are on no token.
type software struct {
	root, authentication ed25519.PrivateKey
	age                  keys.PublicKey
}

func newSoftware(t testing.TB) *software {
	t.Helper()
	_, root, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, authentication, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	age, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &software{root, authentication, public(t, &age.PublicKey)}
}

func public(t testing.TB, key any) keys.PublicKey {
	t.Helper()
	p, err := keys.FromCrypto(key)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func recipient(t testing.TB, age keys.PublicKey) string {
	t.Helper()
	text, err := keys.TokenRecipient(age)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// vouch is a checkpoint of the log as it stands, by a key in software.
func (f *forger) vouch(e *event, by *software) {
	f.t.Helper()
	there := f.log.Checkpoint()
	signed := ed25519.Sign(by.authentication, transcript.Text(f.log.Origin(), there))
	signature, err := transcript.Signature(f.log.Origin(), public(f.t, by.authentication.Public()), signed)
	if err != nil {
		f.t.Fatal(err)
	}
	e.set("checkpoint", there)
	e.set("signature", signature)
}

// usurp replaces whole enrolments by keys in software, of which the forger says
// what they want: root keys, checkpoints and signatures of those holders are made
// again, those of the others are left out, and what follows from it is made again.
func (r *record) usurp(t testing.TB, evidence bool, of map[string]*software) {
	t.Helper()
	kept := func(e *event) {
		if !evidence {
			e.set("evidence", []state.File{})
		}
	}
	var files []state.Written
	r.forge(t, func(f *forger, e *event) bool {
		by := of[e.holder()]
		switch e.Type {
		case state.TypePrepared:
			if by != nil {
				e.set("authentication", public(t, by.authentication.Public()))
				e.set("age", by.age)
				kept(e)
			}
		case state.TypeRecipientProved:
			if by := of[e.text("recipient")]; by != nil {
				e.set("age", recipient(t, by.age))
			}
		case state.TypeBackupStored:
			var ids, ages []string
			if err := json.Unmarshal(e.data["recipients"], &ids); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(e.data["ages"], &ages); err != nil {
				t.Fatal(err)
			}
			for i, id := range ids {
				if of[id] != nil {
					ages[i] = recipient(t, of[id].age)
				}
			}
			e.set("ages", ages)
			if by != nil && e.data["public"] != nil {
				e.set("public", public(t, by.root.Public()))
			}
		case state.TypeKeyMade:
			if by != nil {
				e.set("public", public(t, by.root.Public()))
				kept(e)
			}
		case state.TypeKeyProved:
			if by != nil {
				f.prove(e, by)
				kept(e)
			}
		case state.TypeCheckpointSigned:
			if by == nil {
				return false
			}
			f.vouch(e, by)
		case state.TypeDraftMade:
			files = append(files, f.draft(e))
		case state.TypeDraftReviewed:
			e.set("digest", f.state().Draft.Digest)
		case state.TypeSignatureIntended, state.TypeSignatureMade:
			if by == nil {
				return false
			}
			files = append(files, f.sign(e, by)...)
		case state.TypeRootPublished, state.TypeSealed, state.TypeClosed:
			files = append(files, r.again(f, e)...)
		}
		return true
	})
	for _, file := range files {
		r.write(t, file.Name, file.Text)
	}
	r.tidy(t)
}

// prove makes a proof of possession of a root key in software.
func (f *forger) prove(e *event, by *software) {
	f.t.Helper()
	now := f.state()
	message, err := now.Possession(now.Holders[e.holder()], e.text("nonce"))
	if err != nil {
		f.t.Fatal(err)
	}
	signature := hex.EncodeToString(ed25519.Sign(by.root, message))
	e.set("signature", signature)
	text, err := json.Marshal(map[string]string{"message": string(message), "signature": signature})
	if err != nil {
		f.t.Fatal(err)
	}
	file := state.Written{Name: fmt.Sprintf("evidence/%d/possession.forged.json", now.Holders[e.holder()].Serial), Text: text}
	f.r.write(f.t, file.Name, file.Text)
	e.set("evidence", []state.File{file.File()})
}

// draft makes the draft that follows from the forged log.
func (f *forger) draft(e *event) state.Written {
	f.t.Helper()
	now := f.state()
	var made state.DraftMade
	if err := json.Unmarshal(e.Data, &made); err != nil {
		f.t.Fatal(err)
	}
	root, err := now.PlannedRoot(made.Expires)
	if err != nil {
		f.t.Fatal(err)
	}
	file, err := now.DraftFile(root)
	if err != nil {
		f.t.Fatal(err)
	}
	e.set("digest", agreed.DigestOf(root.Canonical()))
	e.set("file", file.File())
	return file
}

// sign makes a signature over the forged draft.
func (f *forger) sign(e *event, by *software) []state.Written {
	f.t.Helper()
	now := f.state()
	id := now.Holders[e.holder()].KeyID()
	e.set("digest", now.Draft.Digest)
	e.set("key_id", id)
	if e.Type == state.TypeSignatureIntended {
		return nil
	}
	signature := hex.EncodeToString(ed25519.Sign(by.root, now.Root.Canonical()))
	file, err := state.SignatureFile(now.Draft.Digest, e.holder(), id, signature)
	if err != nil {
		f.t.Fatal(err)
	}
	e.set("signature", signature)
	e.set("file", file.File())
	return []state.Written{file}
}

// ends reports whether an event publishes, or comes after that.
func (f *forger) ends(e *event) bool {
	return slices.Contains([]string{state.TypeRootPublished, state.TypeSealed, state.TypeClosed, state.TypeCarryIntended, state.TypeCarried, state.TypeNotCarried}, e.Type)
}

// again makes what is published follow from the forged log.
func (r *record) again(f *forger, e *event) []state.Written {
	t, now := f.t, f.state()
	t.Helper()
	var ids []string
	for _, sig := range now.Signatures() {
		ids = append(ids, sig.KeyID)
	}
	e.set("digest", now.Draft.Digest)
	e.set("key_ids", ids)
	switch e.Type {
	case state.TypeClosed:
		delete(e.data, "digest")
		delete(e.data, "key_ids")
		e.set("sums", now.Sums().File())
		return []state.Written{now.Sums()}
	case state.TypeSealed:
		delete(e.data, "fuller")
		return nil
	}
	root, err := now.RootFile(state.RootFile(now.Plan.Version), ids)
	if err != nil {
		t.Fatal(err)
	}
	e.set("file", root.File())
	e.set("kit", []state.File{})
	return []state.Written{root}
}

// tidy removes the files that a forged log does not name.
func (r *record) tidy(t testing.TB) {
	t.Helper()
	all, err := events(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	for _, e := range all {
		log.Write(e.Data)
	}
	for _, name := range r.files(t) {
		if named := strings.Contains(log.String(), `"`+name+`"`); !named && !slices.Contains([]string{transcript.FileName, transcript.PrivateName, state.PlanFile, state.ResolvedFile}, name) && !strings.HasPrefix(name, "keys/") && !strings.HasPrefix(name, "trusted/") {
			if err := os.Remove(r.at(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// folds reports what the fold says of a forged record: that it takes it shows what
// an audit is for.
func (r *record) folds(t testing.TB) error {
	t.Helper()
	all, err := events(r.dir)
	if err == nil {
		_, err = state.Fold(all)
	}
	return err
}
