package audit

import (
	"encoding/hex"
	"errors"
	"fmt"

	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
)

// ledger is a log that was read: every line fits its own sum and all before it.
type ledger struct {
	events []transcript.Event
	roots  []string // by how many lines it is of
	origin string
}

// read reads the log. Without it there is nothing to audit.
func (w *walk) read(public []byte) bool {
	events, head, tail, err := transcript.Read(public)
	switch {
	case err != nil:
		w.add(Failed, "log", transcript.FileName, "%v", err)
		return false
	case len(events) == 0:
		w.add(Failed, "log", transcript.FileName, "it has no whole line")
		return false
	case tail != nil:
		w.add(Open, "log", transcript.FileName, "it ends in the middle of a line, which the next start sets aside (%d bytes after line %d)", len(tail), len(events))
	}
	w.log = &ledger{events: events}
	for _, e := range events {
		w.log.roots = append(w.log.roots, e.Prev)
	}
	w.log.roots = append(w.log.roots, head.Hash)
	w.Origin, w.Lines = w.log.origin, int64(len(events))
	w.add(OK, "log", transcript.FileName, "%d lines, and each fits all before it", w.Lines)
	return true
}

// checkpoint is the data of an event in which a token has signed the log.
func (l *ledger) checkpoint(e transcript.Event) (on state.Act, size int64, verify func(keys.PublicKey) error, err error) {
	d, err := decode[state.HeadSigned](e)
	if err != nil {
		return on, 0, nil, err
	}
	size = d.Head.Seq
	if size < 1 || size >= e.Seq || l.roots[size] != d.Head.Hash {
		return on, 0, nil, errors.New("the checkpoint is not one of this log as it stands: something before it was changed, or it is of another log")
	}
	return d.Act, size, func(key keys.PublicKey) error {
		raw, err := hex.DecodeString(d.Signature)
		if err != nil {
			return fmt.Errorf("signature: %w", err)
		}
		return key.Verify(state.HeadMessage(d.Head), raw)
	}, nil
}

// seen reports whether all that an event says is here: some of it may stand in the
// private part of the log.
func seen(transcript.Event) bool { return true }

// closingNote holds the log to a checkpoint that was announced.
func (w *walk) closingNote([]byte) (bool, string) {
	return false, "checkpoints in files come with the log's next format"
}
