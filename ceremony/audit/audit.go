// Package audit verifies a ceremony directory as someone who was not there. The
// directory is believed by nobody: anyone who can write it can write every hash in
// it, so that only what is proved counts, by a key that a token attests, by a
// holder's checkpoint of the log, by a signature, or by an anchor that comes from
// elsewhere.
//
// Directory reads every file once, in bounds, and writes nothing. It walks the log
// with a small model of its own, of tokens, keys, backups, drafts and signatures,
// and takes no word of the fold in package state for granted: that is run too, as
// one check more. What it finds is a Report, a line for each thing that was
// looked at:
//
//   - ok: it is as the log says, and proved
//   - failed: it is not, or the proof of it is missing
//   - open: it is not done, or nobody vouches for it yet; a ceremony that is not
//     over has such, and so has one that was cut short
//   - not seen: it is in the private part of the record, which is not here
//   - not counted: it is good, and does not count, such as a signature over an
//     abandoned draft
//
// A record is good where nothing failed, nothing is open, the ceremony is closed,
// and a holder's checkpoint covers its seal. table.go says, in one table, what each
// kind of event does here, whom it may be about, and whether it may follow after
// the last checkpoint.
//
// A folder cannot vouch for itself: fresh tokens and a patient forger can make a
// whole one that is good. Report.Anchors says which values from elsewhere it was
// held to, and what each one that was not given leaves open.
package audit

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
)

// Options are what a record is held to. All of it comes from outside the
// directory.
type Options struct {
	// Roots and Intermediates are the certificates that attestations must lead to.
	Roots, Intermediates []*x509.Certificate
	// Rehearsal accepts the record of a rehearsal, and for that also the attestation
	// root of virtual tokens that lies in its own folder, which proves nothing.
	Rehearsal bool

	PlanDigest    string // SHA-256 of plan.resolved.json in hex, as it was announced; "": not given
	TrustedSHA256 string // of the file of the first root of the trusted chain, likewise
	Checkpoint    []byte // a signed checkpoint of the log, as it was announced; nil: not given

	fold func([]transcript.Event) error // of tests; nil: state.Fold
}

// Status is how a check ended.
type Status string

// What a check can end in.
const (
	OK         Status = "ok"
	Failed     Status = "failed"
	Open       Status = "open"
	NotSeen    Status = "not seen"
	NotCounted Status = "not counted"
)

// Check is one thing that was looked at.
type Check struct {
	Name    string `json:"name"`    // what kind of thing: "attestation"
	Subject string `json:"subject"` // which one: a holder, a token, a file, a line of the log
	Status  Status `json:"status"`
	Text    string `json:"text"` // what was found: a sentence without its full stop
}

// Exception is a departure from the plan or the runbook that the log has. One
// whose text is private, and not here, has none.
type Exception struct {
	Line     int64     `json:"line"`
	Time     time.Time `json:"time"`
	Expected string    `json:"expected"`
	Happened string    `json:"happened"`
	Decided  string    `json:"decided"`
}

// Alarm is a token that came and wasn't as the log has it.
type Alarm struct {
	Line   int64     `json:"line"`
	Time   time.Time `json:"time"`
	Holder string    `json:"holder"` // name
	Text   string    `json:"text"`
	Ended  int64     `json:"ended"` // the line that says so; 0: it is open
}

// Voucher is a holder whose token has signed the log.
type Voucher struct {
	Holder  string `json:"holder"` // name
	Serial  uint32 `json:"serial"` // of the token whose 9a signed
	UpTo    int64  `json:"up_to"`  // the last line that the newest checkpoint covers
	Line    int64  `json:"line"`   // that has it
	Closing bool   `json:"closing"`
}

// Key is a holder's root key in the newest draft, or before there is one the one
// that was made, with what the record proves of it.
type Key struct {
	Holder         string         `json:"holder"` // id
	Name           string         `json:"name"`
	KeyID          string         `json:"key_id"`
	Custody        string         `json:"custody"`
	Sticker        string         `json:"sticker,omitempty"`
	Serial         uint32         `json:"serial,omitempty"`
	Firmware       keys.Firmware  `json:"firmware"`                // as attested
	Root           keys.PublicKey `json:"root"`                    // 9c
	Authentication keys.PublicKey `json:"authentication,omitzero"` // 9a
	Age            keys.PublicKey `json:"age,omitzero"`            // 82
	Opens          Status         `json:"opens,omitempty"`         // ok: backups may be sealed for the key in 82
	Status         Status         `json:"status"`                  // ok: it counts
	Text           string         `json:"text"`                    // why
}

// Anchor is a value from outside the directory.
type Anchor struct {
	Name  string `json:"name"` // as the flag of rootverify that takes it
	Given bool   `json:"given"`
	Text  string `json:"text"` // what it proved, or what its absence leaves open
}

// Report is what an audit found.
type Report struct {
	Name      string `json:"name"` // of the plan
	Kind      string `json:"kind"`
	Version   int64  `json:"version"` // of the root
	Rehearsal bool   `json:"rehearsal"`
	Enrols    string `json:"enrols,omitempty"` // id of the holder, where it is an enrolment made elsewhere

	PlanDigest string `json:"plan_digest"`
	Origin     string `json:"origin"` // of the log's checkpoints
	Lines      int64  `json:"lines"`  // of the log
	Root       string `json:"root"`   // its root hash
	Vouched    int64  `json:"vouched"`
	Sealed     bool   `json:"sealed"`
	Closed     bool   `json:"closed"`
	Draft      string `json:"draft,omitempty"`     // SHA-256 of what is signed, of the live draft
	Published  string `json:"published,omitempty"` // SHA-256 of the published root's file

	Checks     []Check     `json:"checks"`
	Exceptions []Exception `json:"exceptions"`
	Alarms     []Alarm     `json:"alarms"`
	Vouchers   []Voucher   `json:"vouchers"`
	Keys       []Key       `json:"keys"`
	Anchors    []Anchor    `json:"anchors"`
}

// Verdict is what an audit comes to.
type Verdict string

// The verdicts.
const (
	Good       Verdict = "good"
	Unfinished Verdict = "not finished"
	Bad        Verdict = "not good"
)

// Verdict sums the report up.
func (r *Report) Verdict() Verdict {
	verdict := Good
	if !r.Closed {
		verdict = Unfinished
	}
	for _, c := range r.Checks {
		switch c.Status {
		case Failed:
			return Bad
		case Open:
			verdict = Unfinished
		}
	}
	return verdict
}

// Findings are the checks that failed of what a ceremony goes on with. Some files are
// left to the desk: it writes again what follows from the log, others can be opened for
// a backup that was damaged, and one that the log doesn't name is used for nothing. But
// what is published, and the log doesn't know, shows that the log was cut short, or
// would go out with the rest; and nothing that a ceremony writes is a link or a pipe.
// Another root with all its signatures, which somebody brought, is what a ceremony
// must be able to say.
func (r *Report) Findings() []Check {
	return slices.DeleteFunc(slices.Clone(r.Checks), func(c Check) bool {
		return c.Status != Failed || slices.Contains([]string{file, backupFile, unknownFile, otherRoots}, c.Name)
	})
}

// Names of checks.
const (
	file          = "file"
	backupFile    = "backup file"
	unknownFile   = "unknown file"
	publishedFile = "published file" // that the log doesn't know
	specialFile   = "special file"   // a link, a pipe or a device
	otherRoots    = "other roots"
)

// Directory audits a ceremony directory, or one of an enrolment made elsewhere.
func Directory(dir string, o Options) *Report {
	r := &Report{Checks: []Check{}, Exceptions: []Exception{}, Alarms: []Alarm{}, Vouchers: []Voucher{}, Keys: []Key{}, Anchors: []Anchor{}}
	w := &walk{Report: r, o: o}
	defer func() {
		if p := recover(); p != nil {
			w.add(Failed, "program", "", "the program has a fault (%v)", p)
		}
	}()
	files, err := readTree(dir)
	if err != nil {
		w.add(Failed, "directory", dir, "%v", err)
		return r
	}
	w.files = files
	w.directory()
	return r
}

// directory audits what was read.
func (w *walk) directory() {
	defer w.refused() // once the plan says which places are people's
	public, there := w.files.text[transcript.FileName]
	if !there && w.files.isRefused(transcript.FileName) {
		return // which says why
	}
	if !there {
		w.add(Failed, "log", transcript.FileName, "it is not here: this is not a ceremony directory, or only a part of one")
		return
	}
	if !w.read(public) {
		return
	}
	w.all()
	if w.started == nil { // and that is said
		return
	}
	w.conclude()
	w.folded()
	w.checkFiles()
	w.anchors()
}

// folded runs the fold of package state, which has rules that are not needed here
// to tell what is proved.
func (w *walk) folded() {
	fold := w.o.fold
	if fold == nil {
		fold = func(events []transcript.Event) error { _, err := state.Fold(events); return err }
	}
	if err := fold(w.log.Events); err != nil {
		w.add(Failed, "order of events", "", "%v", err)
		return
	}
	w.add(OK, "order of events", "", "each of the %d lines fits what came before it", w.Lines)
}

// add reports a check.
func (w *walk) add(status Status, name, subject, format string, args ...any) {
	w.Checks = append(w.Checks, Check{name, subject, status, fmt.Sprintf(format, args...)})
}
