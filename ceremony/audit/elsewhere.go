package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
)

// enrolment is what a holder has made elsewhere, by its own log.
type enrolment struct {
	file      state.File
	line      int64
	confirmed bool
}

// enrolmentFile is a file that an enrolment hands over: its log and its evidence.
type enrolmentFile struct {
	Format   string            `json:"format"`
	Holder   string            `json:"holder"`
	Log      string            `json:"log"`
	Evidence map[string]string `json:"evidence"`
}

var enrolmentForm = regexp.MustCompile(`^evidence/([1-9][0-9]{0,9})/enrolment\.[0-9a-f]{8}\.json$`)

// collected takes in what a holder has made elsewhere. Its log is audited under its
// own origin, with the evidence in its file; what this log says of it must be what
// that one says.
func (w *walk) collected(e transcript.Event) error {
	d, err := decode[state.Collected](e)
	if err != nil {
		return err
	}
	h, p, err := w.place(d.Act)
	switch {
	case err != nil:
		return err
	case p.serial != 0 || w.live != nil || w.Enrols != "" || d.Replacement:
		return fmt.Errorf("%s has a token already, or the keys are drafted", h.Name)
	}
	m := enrolmentForm.FindStringSubmatch(d.File.Name)
	if m == nil || m[1] != fmt.Sprint(d.Serial) {
		return fmt.Errorf("%.80q is not the enrolment file of token %s", d.File.Name, agreed.SerialText(d.Serial))
	}
	if err := w.name(e.Seq, d.File.Name, d.File.SHA256, false); err != nil {
		return err
	}
	p.serial, h.elsewhere = d.Serial, &enrolment{file: d.File, line: e.Seq}
	t, err := w.enrolled(h, d)
	if err != nil {
		t = &token{serial: d.Serial, sticker: p.sticker, authentication: d.Prepared.Authentication, age: d.Prepared.Age,
			unproved: err, key: &rootKey{public: d.Key.Public, proved: e.Seq, unproved: err}}
	}
	// The lines of the other log are not those of this one.
	t.line, t.key.made, t.key.proved, t.key.elsewhere, t.vouched = e.Seq, e.Seq, e.Seq, true, nil
	p.token = t
	if err != nil {
		return err
	}
	if err := w.onlyThere(t.serial, t.authentication, t.age); err != nil {
		t.unproved = err
		return err
	}
	for _, other := range w.signers {
		for _, theirs := range other.tokens() {
			if theirs != t && theirs.key != nil && theirs.key.public == t.key.public {
				t.key.unproved = fmt.Errorf("it is the root key of %s too", other.Name)
				return t.key.unproved
			}
		}
	}
	for _, f := range append(append(append([]state.File{}, d.Prepared.Evidence...), d.Key.Evidence...), d.Proved.Evidence...) {
		if err := w.name(e.Seq, f.Name, f.SHA256, false); err != nil {
			return err
		}
	}
	w.add(OK, "enrolment elsewhere", subject(h, t), "its own log proves the keys, firmware %s (line %d)", t.firmware, e.Seq)
	return nil
}

// enrolled audits an enrolment by its own log, and returns the token that it made.
func (w *walk) enrolled(h *holder, d state.Collected) (*token, error) {
	text, err := w.evidence(d.File.Name, d.File.SHA256)
	if err != nil {
		return nil, err
	}
	file, err := parseEnrolment(text)
	if err != nil {
		return nil, err
	}
	own := &walk{Report: &Report{}, o: w.o, files: &tree{sum: map[string]string{}, text: map[string][]byte{}, size: map[string]int{}, folders: map[string]bool{}}}
	for name, evidence := range file.Evidence {
		own.files.put(name, []byte(evidence))
	}
	if own.read([]byte(file.Log)) {
		own.all()
	}
	for _, c := range own.Checks {
		if c.Status == Failed || c.Status == Open {
			return nil, fmt.Errorf("the log of the enrolment: %s %s: %s", c.Name, c.Subject, c.Text)
		}
	}
	for name, f := range own.names {
		if sum, there := own.files.sum[name]; name != state.ResolvedFile && !isTrusted(name) && (!there || sum != f.sum) {
			return nil, fmt.Errorf("the log of the enrolment: the file %s is missing in it, or is another one", name)
		}
	}
	switch {
	case own.Enrols != h.ID || file.Holder != h.ID:
		return nil, fmt.Errorf("the log in it is not the enrolment of %s", h.Name)
	case own.PlanDigest != w.PlanDigest:
		return nil, errors.New("it was made for another plan")
	}
	from := own.holders[h.ID]
	t := from.own.token
	switch {
	case t == nil || t.key == nil || t.key.proved == 0:
		return nil, errors.New("its log proves no root key")
	case !t.covers(t.key.proved, 0):
		return nil, errors.New("its token has not signed its log")
	case d.Checkpoint != own.log.Checkpoint():
		return nil, errors.New("its log is not the one that was collected")
	}
	return t, own.says(d)
}

// isTrusted reports whether a file is one of the trusted chain, which anyone who
// collects an enrolment has.
func isTrusted(name string) bool {
	return name == agreed.TrustedDir || len(name) > len(agreed.TrustedDir) && name[:len(agreed.TrustedDir)+1] == agreed.TrustedDir+"/"
}

// says holds what a ceremony has collected to the lines of the enrolment's log.
func (w *walk) says(d state.Collected) error {
	for kind, said := range map[string]any{state.TypePrepared: d.Prepared, state.TypeKeyMade: d.Key, state.TypeKeyProved: d.Proved} {
		want, err := json.Marshal(said)
		if err != nil {
			return err
		}
		found := false
		for _, e := range w.log.Events { // the newest one counts: a holder may have started over
			if e.Type == kind {
				found = bytes.Equal(e.Data, want)
			}
		}
		if !found {
			return fmt.Errorf("what was collected of it is not what its log says (%s)", kind)
		}
	}
	return nil
}

// parseEnrolment reads an enrolment file: exactly the bytes that are written.
func parseEnrolment(text []byte) (*enrolmentFile, error) {
	var file enrolmentFile
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, fmt.Errorf("the enrolment file cannot be read: %w", err)
	}
	var again bytes.Buffer
	encoder := json.NewEncoder(&again)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(file); err != nil || !bytes.Equal(again.Bytes(), text) {
		return nil, errors.New("the enrolment file is not as it was written")
	}
	return &file, nil
}

func (w *walk) confirmed(e transcript.Event) error {
	d, err := decode[state.Confirmed](e)
	if err != nil {
		return err
	}
	h, _, err := w.place(d.Act)
	switch {
	case err != nil:
		return err
	case h.elsewhere == nil || h.elsewhere.confirmed || d.SHA256 != h.elsewhere.file.SHA256:
		return errors.New("nothing of that holder is to be confirmed, or it is another file")
	case !d.Words && w.before != state.TypeException:
		return errors.New("its words were not read, and no exception says so")
	}
	h.elsewhere.confirmed = true
	return nil
}

func (w *walk) handedOver(e transcript.Event) error {
	d, err := decode[state.HandedOver](e)
	if err != nil {
		return err
	}
	h := w.holders[w.Enrols]
	if h == nil || h.own.token == nil || h.own.token.key == nil || h.own.token.key.proved == 0 {
		return errors.New("this is not an enrolment, or its key is not proved")
	}
	if err := w.alarmed(); err != nil {
		return err
	}
	w.Closed = true
	return w.name(e.Seq, d.File.Name, d.File.SHA256, false)
}
