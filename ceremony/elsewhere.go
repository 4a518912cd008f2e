package ceremony

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
)

// An enrolment made elsewhere is a ceremony directory of its own, in which one
// holder's token is prepared for a plan that another directory's ceremony
// agrees. What leaves it is one file: its log, up to the line in which the
// holder's key in 9a vouches for all before it, and the evidence that the log
// names. The ceremony that collects it replays the log, checks every
// attestation and the proof of possession itself, and has the holder read the
// words of the card over another channel before the key counts.

// enrolmentFormat is the first member of an enrolment file.
const enrolmentFormat = "rootceremony enrolment 1"

// maxEnrolment is the largest enrolment file that is read, in bytes.
const maxEnrolment = 4 << 20

// enrolment is an enrolment file, which is exactly what text returns.
type enrolment struct {
	Format   string            `json:"format"`
	Holder   string            `json:"holder"`
	Log      string            `json:"log"`
	Evidence map[string]string `json:"evidence"` // by name in the directory
}

func (e enrolment) text() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(e)
	return b.Bytes(), err
}

// enrolmentName is the name of an enrolment file in the directory it is made
// in.
func enrolmentName(holder string) string { return holder + ".enrolment.json" }

func (d *Desk) handOverTask() prompt.Task {
	s := d.State()
	h := s.Holders[s.Begun.Enrols]
	t := prompt.Task{ID: "hand over", Title: "Write the enrolment file", State: DoneIf(s.HandedOver != nil), Do: d.handOver}
	if h.Proved == nil || h.Checkpoint == nil {
		t.Block("waits for the key of " + h.Holder.Name)
	}
	blockAlarmed(&t, s.Alarmed())
	return t
}

// handOver writes the enrolment file, and says how its words are used.
func (d *Desk) handOver(ctx context.Context, a prompt.Room) error {
	if err := d.mend(); err != nil {
		return err
	}
	file, err := d.enrolmentFile()
	if err != nil {
		return err
	}
	if err := d.write(file); err != nil {
		return err
	}
	if err := d.record(state.TypeHandedOver, "room", state.HandedOver{File: file.File()}); err != nil {
		return err
	}
	return a.Tell(ctx, prompt.Message{Title: "The enrolment file is written",
		Facts: append([]prompt.Fact{{Label: "File", Value: filepath.Join(d.dir, file.Name)}}, digitFacts(ofFile, agreed.DigestOf(file.Text))...),
		Text: []string{"Send the file to the ceremony; there is nothing secret in it. The room will call you and ask for the eight words of your card: " +
			"say them to a voice you know, and to nobody else. " + agreed.Command("status", d.dir) + " shows them again."}, Write: d.visit(a, d.State().Begun.Enrols).card()})
}

// enrolmentFile puts the file together. It ends with the line in which the
// holder signs the log, so that a later start of the program changes nothing.
func (d *Desk) enrolmentFile() (state.Written, error) {
	id := d.State().Begun.Enrols
	log, err := transcript.ReadFile(filepath.Join(d.dir, transcript.FileName))
	if err != nil {
		return state.Written{}, err
	}
	e := enrolment{enrolmentFormat, id, "", map[string]string{}}
	for range d.State().Holders[id].Checkpoint.Checkpoint.Size + 1 {
		line, rest, _ := bytes.Cut(log, []byte{'\n'})
		e.Log += string(line) + "\n"
		log = rest
	}
	read, err := transcript.Read([]byte(e.Log), nil)
	if err != nil {
		return state.Written{}, err
	}
	now, err := state.Fold(read.Events)
	if err != nil {
		return state.Written{}, err
	}
	for _, f := range now.Files {
		text, err := transcript.ReadFile(filepath.Join(d.dir, filepath.FromSlash(f.Name)))
		if err != nil {
			return state.Written{}, err
		}
		e.Evidence[f.Name] = string(text)
	}
	text, err := e.text()
	return state.Written{Name: enrolmentName(id), Text: text}, err
}

// parseEnrolment reads an enrolment file: exactly the bytes that were written.
func parseEnrolment(data []byte) (*enrolment, error) {
	if len(data) > maxEnrolment {
		return nil, fmt.Errorf("it has over %d bytes", maxEnrolment)
	}
	var e enrolment
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&e); err != nil || e.Format != enrolmentFormat {
		if err == io.EOF {
			err = errors.New("it is empty")
		}
		if err == nil {
			err = fmt.Errorf("its format is %q", e.Format)
		}
		return nil, fmt.Errorf("it is no enrolment file that this version reads: %w (hint: rootceremony enrol writes them, as NAME.enrolment.json)", err)
	}
	if text, err := e.text(); err != nil || !bytes.Equal(text, data) {
		return nil, errors.New("it is not as it was written (hint: have it sent again, as it is)")
	}
	return &e, nil
}

// CollectedFile tells what Collect has taken in, or had already.
type CollectedFile struct {
	Root    *CollectedRoot // of signatures; the rest is then zero
	Holder  agreed.Holder
	Serial  uint32
	Already bool     // the same file was collected before
	Remarks []string // exceptions and notes of the log in the file
}

// Collect takes a file that was made elsewhere into the ceremony: an enrolment,
// a root file with signatures, or the file of one signature. What does not fit is refused, and changes
// nothing.
func (d *Desk) Collect(data []byte) (*CollectedFile, error) {
	if d.State().Plan == nil {
		return nil, errors.New("the plan is not agreed yet, so nothing can be collected for it (hint: check the laptop and agree the plan first)")
	}
	var root *CollectedRoot
	source := agreed.DigestOf(data)
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // which some programs write before JSON
	switch kind, err := kindOf(data); kind {
	case rootKind:
		root, err = d.collectRoot(data, source)
		return &CollectedFile{Root: root}, err
	case signatureKind:
		root, err = d.collectDetached(data, source)
		return &CollectedFile{Root: root}, err
	case "":
		return nil, err
	}
	e, err := parseEnrolment(data)
	if err != nil {
		return nil, err
	}
	read, err := transcript.Read([]byte(e.Log), nil)
	if err == nil && read.Tail != nil {
		err = errors.New("it ends in the middle of a line")
	}
	if err != nil {
		return nil, fmt.Errorf("its log: %w", err)
	}
	if err := d.agreedHere(read.Events); err != nil {
		return nil, err
	}
	there, err := state.Fold(read.Events)
	if err != nil {
		return nil, fmt.Errorf("its log: %w", err)
	}
	h, err := d.fitsCollection(e, there, read.Checkpoint())
	if err != nil {
		return nil, err
	}
	from := there.Holders[e.Holder]
	taken := &CollectedFile{Holder: h.Holder, Serial: from.Serial, Remarks: remarks(read.Events)}
	digest := agreed.DigestOf(data)
	if h.Collected != nil && h.Collected.File.SHA256 == digest {
		taken.Already = true
		return taken, nil
	}
	if h.Serial != 0 {
		return nil, fmt.Errorf("%s has a token in this ceremony already, %s (hint: take the task Start a holder over first, if that one is to be given up)", h.Holder.Name, agreed.SerialText(h.Serial))
	}
	if err := e.checkEvidence(there); err != nil {
		return nil, err
	}
	if err := d.attestedElsewhere(e, from); err != nil {
		return nil, err
	}
	files := []state.Written{{Name: fmt.Sprintf("evidence/%d/enrolment.%.8s.json", from.Serial, digest), Text: data}}
	for _, name := range slices.Sorted(maps.Keys(e.Evidence)) {
		files = append(files, state.Written{Name: name, Text: []byte(e.Evidence[name])})
	}
	collected := state.Collected{
		Act: h.Act(from.Serial), File: files[0].File(), Checkpoint: read.Checkpoint(), Prepared: *from.Prepared, Key: *from.Key, Proved: *from.Proved}
	if err := d.wouldTake(collected); err != nil {
		return nil, err
	}
	for _, file := range files {
		if err := d.write(file); err != nil {
			return nil, err
		}
	}
	return taken, d.record(state.TypeCollected, h.Holder.ID, collected)
}

// wouldTake tries an event on a copy of the state: what is refused leaves no
// files behind.
func (d *Desk) wouldTake(collected state.Collected) error {
	data, err := json.Marshal(collected)
	if err != nil {
		return err
	}
	_, err = d.State().With(transcript.Event{Type: state.TypeCollected, Data: data})
	return errors.Unwrap(err) // without the line, which it has not got
}

// agreedHere refuses the log of an enrolment for another plan, before anything
// in it is looked at that its plan gives a meaning.
func (d *Desk) agreedHere(events []transcript.Event) error {
	settled := false
	for _, e := range events {
		if e.Type != state.TypePlanAgreed {
			continue
		}
		var data state.PlanAgreed
		if err := state.Read(e, &data); err != nil {
			return fmt.Errorf("its log: line %d: %w", e.Seq, err)
		}
		if data.Digest != d.State().Digest {
			return fmt.Errorf("it was made for the plan with the digest %.8s..., and the agreed one is %.8s... (hint: send plan.resolved.json of this directory, and have it made again)", data.Digest, d.State().Digest)
		}
		settled = true
	}
	if !settled {
		return errors.New("its log is not that of a holder's enrolment")
	}
	return nil
}

// fitsCollection finds whose enrolment it is, and tells why it cannot be taken
// in.
func (d *Desk) fitsCollection(e *enrolment, there *state.State, checkpoint transcript.Checkpoint) (*state.Holder, error) {
	s := d.State()
	if there.Begun.Enrols == "" || there.Begun.Enrols != e.Holder {
		return nil, errors.New("its log is not that of a holder's enrolment")
	}
	h, from := s.Holders[e.Holder], there.Holders[e.Holder]
	if from.Proved == nil || !from.HasSigned(checkpoint.Size-1) {
		return nil, fmt.Errorf("%s's key is not proved in it, or its log was not signed by the token (hint: have the enrolment gone on with)", h.Holder.Name)
	}
	if h.Collected == nil && s.Draft != nil {
		return nil, fmt.Errorf("root v%d is drafted already, with the keys that were there", s.Draft.Version)
	}
	for _, other := range s.Holders {
		if other != h && other.Key != nil && other.Key.Public == from.Key.Public {
			return nil, fmt.Errorf("its root key is that of %s", other.Holder.Name)
		}
	}
	if owner := s.HolderOf(from.Serial); owner != nil && owner != h {
		return nil, fmt.Errorf("its token %s is %s's", agreed.SerialText(from.Serial), owner.Holder.Name)
	}
	for _, f := range there.Files { // of tokens that were given up too
		for _, other := range s.Holders {
			if other != h && state.EvidenceOf(other.Serial, []state.File{f}) == nil {
				return nil, fmt.Errorf("the file %s in it tells of %s's token", f.Name, other.Holder.Name)
			}
		}
	}
	return h, nil
}

// checkEvidence holds the files in it to what its log says of them.
func (e *enrolment) checkEvidence(there *state.State) error {
	known := map[string]bool{}
	for _, f := range there.Files {
		text, ok := e.Evidence[f.Name]
		if !ok || agreed.DigestOf([]byte(text)) != f.SHA256 {
			return fmt.Errorf("the file %s in it is not the one that its log names (hint: have it sent again, as it is)", f.Name)
		}
		known[f.Name] = true
	}
	for name := range e.Evidence {
		if !known[name] {
			return fmt.Errorf("its log knows nothing of the file %s in it", name)
		}
	}
	return nil
}

// attestedElsewhere checks the attestations of the three keys, as if the token
// were here.
func (d *Desk) attestedElsewhere(e *enrolment, from *state.Holder) error {
	for _, k := range []struct {
		slot     keys.Slot
		public   keys.PublicKey
		touch    keys.Touch
		evidence []state.File
	}{
		{keys.SlotAuthentication, from.Prepared.Authentication, keys.TouchNever, from.Prepared.Evidence},
		{keys.SlotAge, from.Prepared.Age, keys.TouchAlways, from.Prepared.Evidence},
		{keys.SlotRoot, from.Key.Public, d.State().Plan.Token.Touch, from.Key.Evidence},
	} {
		attestation := keys.Attestation{Slot: e.certificate(k.evidence, k.slot), Device: e.certificate(k.evidence, keys.SlotAttestation)}
		if err := d.verifyAttestation(attestation, from.Serial, k.slot, k.public, k.touch); err != nil {
			return err
		}
	}
	return nil
}

// certificate is the one of that slot among the files of an event, as DER; nil
// where there is none.
func (e *enrolment) certificate(files []state.File, slot keys.Slot) []byte {
	for _, f := range files {
		if strings.HasPrefix(filepath.Base(f.Name), slot.String()+".") {
			if block, _ := pem.Decode([]byte(e.Evidence[f.Name])); block != nil {
				return block.Bytes
			}
		}
	}
	return nil
}

// remarks are the exceptions, notes and failures of a log: anyone who collects it
// reads them.
func remarks(events []transcript.Event) []string {
	var said []string
	for _, e := range events {
		switch e.Type {
		case state.TypeException:
			var x state.Exception
			_ = state.Read(e, &x) // Fold has read it
			text := "its text stayed there, as it is private"
			if x.Account != (state.Account{}) {
				text = fmt.Sprintf("expected %s; happened: %s; decided: %s", x.Expected, x.Happened, x.Decided)
			}
			said = append(said, "exception: "+text)
		case state.TypeNote:
			var n state.Note
			_ = state.Read(e, &n)
			said = append(said, "note: "+cmp.Or(n.Text, "its text stayed there, as it is private"))
		case state.TypeTaskFailed:
			said = append(said, "a task failed, and was taken again; what it said stayed there, as it is private")
		}
	}
	return said
}

// confirm has the holder who enrolled elsewhere read the eight words of the card,
// which show that the enrolment is theirs.
func (v visit) confirm(ctx context.Context) error {
	h := v.now()
	digest := h.Collected.File.SHA256
	title := h.Holder.Name + ": is it really theirs?"
	facts := []prompt.Fact{{Label: "File", Value: h.Collected.File.Name}, {Label: "Serial", Value: agreed.SerialText(h.Serial) + "   (sticker " + h.Holder.Token + ")"}}
	how, err := v.a.Choose(ctx, prompt.Prompt{ID: "confirm.how " + v.holder, Final: true, Message: prompt.Message{Title: title, Facts: facts,
		Text: []string{"The key was made elsewhere. The file is whole and its token genuine, but anybody could have sent one. Call " + h.Holder.Name +
			" on a number that you know, and recognise the voice. The words of the enrolment stand on the holder's card."}},
		Question: "Can " + h.Holder.Name + " read the words to you?"},
		[]prompt.Choice{{Key: "words", Label: "Yes"}, {Key: "without", Label: "No: go on without them, as an exception"}})
	if err != nil {
		return err
	}
	on := h.Act(h.Serial)
	if how == "without" {
		if err := v.d.Exception(h.Holder.Name+" reads the words of the card", "they could not be asked", "the file was taken without", false); err != nil {
			return err
		}
		return v.d.record(state.TypeConfirmed, "room", state.Confirmed{Act: on, SHA256: digest, Words: false})
	}
	line := cardLine(v.d.State(), h, true)
	same, err := askCarried(ctx, v.a, prompt.Prompt{ID: "confirm.words " + v.holder, From: line.ID, Message: prompt.Message{Title: title, Facts: facts,
		Text: []string{"Let " + h.Holder.Name + " read them; nobody else knows them."}},
		Question: "Type the eight words that stand on " + line.Where + ":"}, line)
	if err != nil {
		return err
	}
	if !same {
		return fmt.Errorf("the card of %s has other words than this enrolment: it isn't confirmed (hint: somebody else may have sent the file: Start a holder over gives it up)", h.Holder.Name)
	}
	return v.d.record(state.TypeConfirmed, "room", state.Confirmed{Act: on, SHA256: digest, Words: true})
}
