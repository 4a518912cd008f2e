package audit_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
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
	members
	private members // of the private part, where there is one
}

// members are those of a JSON object, in their order.
type members struct {
	t     testing.TB
	data  map[string]json.RawMessage
	order []string
}

// newMembers takes an object apart.
func newMembers(t testing.TB, object []byte) members {
	t.Helper()
	m := members{t: t, data: map[string]json.RawMessage{}}
	decoder := json.NewDecoder(bytes.NewReader(object))
	_, err := decoder.Token()
	for err == nil && decoder.More() {
		var name json.Token
		var value json.RawMessage
		if name, err = decoder.Token(); err == nil {
			err = decoder.Decode(&value)
		}
		m.order, m.data[fmt.Sprint(name)] = append(m.order, fmt.Sprint(name)), value
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// json is the object, with its members in the order in which they were.
func (m *members) json() json.RawMessage {
	var all []string
	for _, name := range m.order {
		if value, there := m.data[name]; there {
			all = append(all, fmt.Sprintf("%q:%s", name, value))
		}
	}
	return json.RawMessage("{" + strings.Join(all, ",") + "}")
}

func (m *members) set(member string, value any) {
	m.t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		m.t.Fatal(err)
	}
	if !slices.Contains(m.order, member) {
		m.order = append(m.order, member)
	}
	m.data[member] = text
}

// list is a member that is a list of texts.
func (m *members) list(member string) (list []string) {
	m.t.Helper()
	if err := json.Unmarshal(m.data[member], &list); err != nil {
		m.t.Fatal(err)
	}
	return list
}

func (m *members) text(member string) string {
	var s string
	_ = json.Unmarshal(m.data[member], &s)
	return s
}

// holder is whom the event is about.
func (e *event) holder() string { return e.text("holder") }

// forger writes a log again, as somebody does who can write the directory, and has
// no holder's token: every hash is right again, and every signature that they can
// make. Lines that nobody changes stay as they are, with their salts.
type forger struct {
	t               testing.TB
	r               *record
	public, private []byte
}

// forge writes the log of a record again. change is given each event, and says
// whether it stays.
func (r *record) forge(t testing.TB, change func(*forger, *event) bool) {
	t.Helper()
	all, err := events(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	salts, hidden := map[int64]string{}, map[int64][]byte{}
	for line := range bytes.Lines(r.read(t, transcript.PrivateName)) {
		var part struct {
			Seq  int64
			Salt string
		}
		if err := json.Unmarshal(line, &part); err != nil {
			t.Fatal(err)
		}
		salts[part.Seq], hidden[part.Seq] = part.Salt, line
	}
	lines := bytes.SplitAfter(r.read(t, transcript.FileName), []byte("\n"))
	f := &forger{t: t, r: r}
	moved := map[int64]int64{}
	for _, was := range all {
		e := &event{Event: was, members: newMembers(t, was.Data)}
		if was.Private != nil {
			e.private = newMembers(t, was.Private)
		}
		var intention int64
		if json.Unmarshal(e.data["intention"], &intention) == nil && moved[intention] != intention {
			e.set("intention", moved[intention])
		}
		switch {
		case !change(f, e):
		case bytes.Equal(f.public, bytes.Join(lines[:was.Seq-1], nil)) && e.unchanged(was):
			moved[was.Seq] = was.Seq
			f.public = append(f.public, lines[was.Seq-1]...)
			if was.Commitment != "" {
				f.private = append(f.private, hidden[was.Seq]...)
			}
		default:
			moved[was.Seq] = f.line(e, salts[was.Seq])
		}
	}
	r.write(t, transcript.FileName, f.public)
	r.write(t, transcript.PrivateName, f.private)
}

// unchanged reports whether an event is as it was.
func (e *event) unchanged(was transcript.Event) bool {
	return e.Type == was.Type && e.By == was.By && bytes.Equal(e.json(), was.Data) && (was.Private == nil || bytes.Equal(e.private.json(), was.Private))
}

// line writes an event, and returns its number.
func (f *forger) line(e *event, salt string) int64 {
	f.t.Helper()
	tree, seq := fmt.Sprintf("%x", sha256.Sum256(nil)), int64(1)
	if len(f.public) > 0 {
		there := f.log().Checkpoint()
		tree, seq = there.Root, there.Size+1
	}
	data := e.json()
	if e.private.data != nil {
		raw, err := hex.DecodeString(salt)
		if err != nil {
			f.t.Fatal(err)
		}
		hidden := e.private.json()
		named := fmt.Sprintf(`"private":"%x"}`, sha256.Sum256(append(raw, hidden...)))
		if len(data) > len("{}") {
			named = "," + named
		}
		data = append(data[:len(data)-1:len(data)-1], named...)
		f.private = append(f.private, summed(fmt.Sprintf(`{"seq":%d,"salt":"%s","data":%s`, seq, salt, hidden))...)
	}
	by, err := json.Marshal(e.By)
	if err != nil {
		f.t.Fatal(err)
	}
	f.public = append(f.public, summed(fmt.Sprintf(`{"seq":%d,"time":"%s","type":"%s","by":%s,"data":%s,"tree":"%s"`,
		seq, e.Time.Format(time.RFC3339), e.Type, by, data, tree))...)
	return seq
}

// summed is a line of a log with its sum.
func summed(body string) string {
	return fmt.Sprintf("%s,\"sum\":\"%x\"}\n", body, sha256.Sum256([]byte(body)))
}

// log is what is written so far.
func (f *forger) log() *transcript.Contents {
	f.t.Helper()
	read, err := transcript.Read(f.public, f.private)
	if err != nil {
		f.t.Fatal(err)
	}
	return read
}

// append writes an event of the forger's own.
func (f *forger) append(kind, by string, data any) {
	f.t.Helper()
	text, err := json.Marshal(data)
	if err != nil {
		f.t.Fatal(err)
	}
	f.line(&event{Event: transcript.Event{Time: noon, Type: kind, By: by}, members: newMembers(f.t, text)}, "")
}

// state is what the log says, as far as it is written.
func (f *forger) state() *state.State {
	f.t.Helper()
	now, err := state.Fold(f.log().Events)
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
	log := f.log()
	there := log.Checkpoint()
	signed := ed25519.Sign(by.authentication, transcript.Text(log.Origin(), there))
	signature, err := transcript.Signature(log.Origin(), public(f.t, by.authentication.Public()), signed)
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
			if by := of[e.private.text("recipient")]; by != nil {
				e.private.set("age", recipient(t, by.age))
			}
		case state.TypeBackupStored:
			ages := e.private.list("ages")
			for i, id := range e.private.list("recipients") {
				if of[id] != nil {
					ages[i] = recipient(t, of[id].age)
				}
			}
			e.private.set("ages", ages)
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
	id := now.KeyID(now.Holders[e.holder()])
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
		files := []state.Written{now.Sums()}
		e.set("sums", files[0].File())
		delete(e.data, "checkpoint")
		if note := now.ClosingNote(); note != nil {
			e.set("checkpoint", note.File())
			files = append(files, *note)
		}
		return files
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
		log.Write(e.Private)
	}
	for _, name := range r.files(t) {
		if named := strings.Contains(log.String(), `"`+name+`"`); !named && !slices.Contains([]string{transcript.FileName, transcript.PrivateName, state.PlanFile, state.ResolvedFile, state.PrivatePlanFile}, name) && !strings.HasPrefix(name, "keys/") && !strings.HasPrefix(name, "trusted/") {
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

// foldsTo is folds of the lines up to one.
func (r *record) foldsTo(t testing.TB, line int64) error {
	t.Helper()
	all, err := events(r.dir)
	if err == nil {
		_, err = state.Fold(all[:min(line, int64(len(all)))])
	}
	return err
}
