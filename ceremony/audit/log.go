package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// read reads the log. Without it there is nothing to audit; without its private
// part, or with one that is not its own, the rest is audited all the same.
func (w *walk) read(public []byte) bool {
	contents, err := transcript.Read(public, nil)
	format := formatOf(public)
	switch {
	case format != state.FormatVersion && !errors.Is(err, transcript.ErrFormat1):
		w.add(Failed, "log", transcript.FileName, "line 1 says that it is of format %d, and this version reads format %d (hint: the version of rootverify that goes with it)", format, state.FormatVersion)
		return false
	case err != nil:
		w.add(Failed, "log", transcript.FileName, "%v", err)
		return false
	case len(contents.Events) == 0:
		w.add(Failed, "log", transcript.FileName, "it has no whole line")
		return false
	case contents.Tail != nil:
		w.add(Open, "log", transcript.FileName, "it ends in the middle of a line, which the next start sets aside (%d bytes after line %d)", len(contents.Tail), len(contents.Events))
	}
	w.log, w.Origin, w.Lines, w.Root = contents, contents.Origin(), int64(len(contents.Events)), contents.Checkpoint().Root
	w.add(OK, "log", transcript.FileName, "%d lines, and each fits all before it", w.Lines)
	w.readPrivate(public)
	return true
}

// formatOf is the format that the first line of a log says, which need not be a line of
// this one otherwise; that of this program where it says none.
func formatOf(public []byte) int {
	line, _, _ := bytes.Cut(public, []byte("\n"))
	var begun struct {
		Data struct {
			Format *int `json:"format"`
		} `json:"data"`
	}
	if json.Unmarshal(line, &begun) != nil || begun.Data.Format == nil {
		return state.FormatVersion
	}
	return *begun.Data.Format
}

// readPrivate gives the events their private parts, where those are here.
func (w *walk) readPrivate(public []byte) {
	parts := 0
	for _, e := range w.log.Events {
		if e.Commitment != "" {
			parts++
		}
	}
	private, there := w.files.text[transcript.PrivateName]
	switch {
	case !there && parts > 0 && w.files.folders[transcript.PrivateDir]:
		w.add(Failed, "private log", transcript.PrivateName, "it is missing, though the folder is here and %d lines of the log name it", parts)
	case !there && parts > 0:
		w.add(NotSeen, "private log", transcript.PrivateName, "the private parts of %d lines", parts)
	case there:
		contents, err := transcript.Read(public, private)
		if err != nil {
			w.add(Failed, "private log", transcript.PrivateName, "%v", err)
			return
		}
		w.log = contents
		w.add(OK, "private log", transcript.PrivateName, "the private parts of %d lines, as those name them", parts)
		if contents.PrivateTail != nil {
			w.add(Open, "private log", transcript.PrivateName, "it ends with %d bytes that no line of the log names yet, which the next start sets aside", len(contents.PrivateTail))
		}
	}
}

// setAside: bytes at the end of a file were no whole line.
func (w *walk) setAside(e transcript.Event) error {
	d, err := decode[transcript.SetAside](e)
	if err != nil {
		return err
	}
	if d.Line > 0 { // of the private file: the log has its length alone
		return nil
	}
	return w.name(e.Seq, d.File, d.SHA256, false)
}

// checkpointSigned: a token has signed the log.
func (w *walk) checkpointSigned(e transcript.Event) error {
	d, err := decode[state.CheckpointSigned](e)
	if err != nil {
		return err
	}
	h, p, err := w.place(d.Act)
	switch {
	case err != nil:
		return err
	case p != h.own || p.token == nil:
		return fmt.Errorf("it is not the token of %s that has signed the log: one that is to take its place, or lies beside it, does not", h.Name)
	case d.Checkpoint.Size < 1 || d.Checkpoint.Size >= e.Seq || w.log.CheckpointAt(d.Checkpoint.Size) != d.Checkpoint:
		return errors.New("the checkpoint is not one of this log as it stands: something before it was changed, or it is of another log")
	}
	note := transcript.Note(transcript.Text(w.Origin, d.Checkpoint), transcript.SignatureLine(w.Origin, d.Signature))
	if _, _, err := transcript.OpenNote(note, w.Origin, p.token.authentication); err != nil {
		return fmt.Errorf("the checkpoint is not signed by the key in 9a of %s: %w", subject(h, p.token), err)
	}
	p.token.vouched = append(p.token.vouched, vouching{e.Seq, d.Checkpoint.Size})
	if w.sealedAt != 0 && !w.Closed && d.Checkpoint.Size == w.sealedAt && w.closing[d.Holder] == "" {
		w.closing[d.Holder] = d.Signature
	}
	return nil
}

// signedNote opens a checkpoint of this log that is signed by a token of this record,
// and says whose.
func (w *walk) signedNote(note []byte) (there transcript.Checkpoint, who []string, err error) {
	var known []keys.PublicKey
	names := map[keys.PublicKey]string{}
	for _, h := range w.signers {
		for _, t := range h.tokens() {
			if t.unproved == nil && names[t.authentication] == "" {
				known, names[t.authentication] = append(known, t.authentication), h.Name
			}
		}
	}
	there, by, err := transcript.OpenNote(note, w.Origin, known...)
	for _, key := range by {
		if !slices.Contains(who, names[key]) {
			who = append(who, names[key])
		}
	}
	return there, who, err
}

// fits holds the log to a checkpoint of it.
func (w *walk) fits(there transcript.Checkpoint) error {
	switch {
	case there.Size > w.Lines:
		return fmt.Errorf("it was signed over %d lines, and the log has %d: lines were taken out at its end", there.Size, w.Lines)
	case there.Size < 1 || w.log.CheckpointAt(there.Size) != there:
		return fmt.Errorf("the first %d lines of the log are not those that were signed", there.Size)
	}
	return nil
}

// announced holds the log to a signed checkpoint that was announced, and says who
// has signed that.
func (w *walk) announced(note []byte) (bool, string) {
	there, who, err := w.signedNote(note)
	switch {
	case errors.Is(err, transcript.ErrUnsigned):
		return false, "nobody whose token is in this record has signed it"
	case err != nil:
		return false, err.Error()
	}
	if err := w.fits(there); err != nil {
		return false, err.Error()
	}
	text := fmt.Sprintf("the log is the one that was announced, up to line %d of %d; signed by %s", there.Size, w.Lines, tuf.Listed(who, "and"))
	if there.Size < w.last {
		text += fmt.Sprintf("; it says nothing of the lines after %d", there.Size)
	}
	return true, text
}
