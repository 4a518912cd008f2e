package main

import (
	"bufio"
	"crypto/x509"
	"flag"
	"fmt"
	"strings"

	"rootceremony/ceremony/audit"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
	"rootceremony/keys/plainfile"
	"rootceremony/keys/yubico"
)

// maxCertificates and maxNote bound the files that the flags of record name.
const (
	maxCertificates = 1 << 20
	maxNote         = 64 << 10
)

// recordFlags are what a record is held to.
type recordFlags struct {
	o                    audit.Options
	roots, intermediates []string
	checkpoint           string
}

// add takes the flags in that every command has that audits a record.
func (r *recordFlags) add(flags *flag.FlagSet) {
	more := func(to *[]string) func(string) error {
		return func(file string) error { *to = append(*to, file); return nil }
	}
	flags.Func("attestation-root", "", more(&r.roots))
	flags.Func("attestation-intermediates", "", more(&r.intermediates))
}

// options are the flags with the files that they name.
func (r *recordFlags) options() (audit.Options, error) {
	o := r.o
	o.Roots, o.Intermediates = yubico.Roots(), yubico.Intermediates()
	for _, f := range []struct {
		files []string
		to    *[]*x509.Certificate
		only  bool // they take the place of those that are built in
	}{{r.roots, &o.Roots, true}, {r.intermediates, &o.Intermediates, false}} {
		for i, name := range f.files {
			text, err := plainfile.Read(name, maxCertificates)
			if err != nil {
				return o, err
			}
			read, err := yubico.Parse(text)
			if err != nil {
				return o, fmt.Errorf("%s: %w", name, err)
			}
			if f.only && i == 0 {
				*f.to = nil
			}
			*f.to = append(*f.to, read...)
		}
	}
	if r.checkpoint != "" {
		note, err := plainfile.Read(r.checkpoint, maxNote)
		if err != nil {
			return o, err
		}
		o.Checkpoint = append([]byte{}, note...) // an empty file is given too
	}
	return o, nil
}

func record(args []string, out *bufio.Writer) error {
	var r recordFlags
	flags := flag.NewFlagSet("record", flag.ContinueOnError)
	r.add(flags)
	flags.Func("plan-digest", "", sumFlag(&r.o.PlanDigest))
	flags.Func("trusted-sha256", "", sumFlag(&r.o.TrustedSHA256))
	flags.StringVar(&r.checkpoint, "checkpoint", "", "")
	flags.BoolVar(&r.o.Rehearsal, "rehearsal", false, "")
	asJSON := flags.Bool("json", false, "")
	names, err := operands(flags, args)
	switch {
	case err != nil:
		return err
	case len(names) != 1:
		return usageError{fmt.Errorf("record needs one ceremony directory, not %d\nhint: rootverify record --help", len(names))}
	}
	o, err := r.options()
	if err != nil {
		return err
	}
	report := audit.Directory(names[0], o)
	if *asJSON {
		err = tuf.WriteJSON(out, struct {
			Verdict audit.Verdict `json:"verdict"`
			*audit.Report
		}{report.Verdict(), report})
		if err != nil {
			return err
		}
	} else {
		showRecord(out, report)
	}
	return judged(names[0], report)
}

// judged is what a report comes to, as an error with its exit code.
func judged(name string, r *audit.Report) error {
	var first *audit.Check
	failed := 0
	for i, c := range r.Checks {
		if c.Status == audit.Failed {
			if failed++; first == nil {
				first = &r.Checks[i]
			}
		}
	}
	switch {
	case failed == 1:
		return fmt.Errorf("%s: the record is not good: %s", name, checkText(*first))
	case failed > 1:
		return fmt.Errorf("%s: the record is not good: %d checks failed, the first of them: %s", name, failed, checkText(*first))
	case r.Verdict() == audit.Unfinished && r.Vouched == 0:
		return unvouchedError{fmt.Errorf("%s: the record is good so far, and not finished: nobody vouches for it yet", name)}
	case r.Verdict() == audit.Unfinished:
		return unvouchedError{fmt.Errorf("%s: the record is good so far, and not finished: vouched for up to line %d of %d", name, r.Vouched, r.Lines)}
	}
	return nil
}

func checkText(c audit.Check) string {
	if c.Subject == "" {
		return c.Name + ": " + c.Text
	}
	return c.Name + ", " + c.Subject + ": " + c.Text
}

// showRecord writes a report: exceptions and alarms first, then a line for each thing that was
// checked, the keys, the anchors, and the verdict.
func showRecord(out *bufio.Writer, r *audit.Report) {
	say := func(format string, args ...any) { fmt.Fprintln(out, tuf.Clean(fmt.Sprintf(format, args...))) }
	if r.Rehearsal {
		say("REHEARSAL: nothing in this record is for production")
	}
	say("Exceptions: %d", len(r.Exceptions))
	for _, x := range r.Exceptions {
		if x.Happened == "" && x.Expected == "" && x.Decided == "" {
			say("  line %d, %s: private, and not here", x.Line, x.Time.Format("2006-01-02 15:04 UTC"))
			continue
		}
		say("  line %d, %s: expected: %s; happened: %s; decided: %s", x.Line, x.Time.Format("2006-01-02 15:04 UTC"), x.Expected, x.Happened, x.Decided)
	}
	if len(r.Alarms) > 0 { // of which most records have none
		say("Alarms: %d", len(r.Alarms))
	}
	for _, a := range r.Alarms {
		ended := "it has not ended"
		if a.Ended != 0 {
			ended = fmt.Sprintf("ended in line %d", a.Ended)
		}
		say("  line %d, %s, %s: %s; %s", a.Line, a.Time.Format("2006-01-02 15:04 UTC"), a.Holder, a.Text, ended)
	}
	say("Checked:")
	marks := map[audit.Status]string{audit.OK: "ok", audit.Failed: "FAILED", audit.Open: "open", audit.NotSeen: "not seen", audit.NotCounted: "void"}
	for _, c := range r.Checks {
		say("  %-8s  %s", marks[c.Status], checkText(c))
	}
	showKeys(say, r)
	say("Held to what came from elsewhere:")
	announced := false
	for _, a := range r.Anchors {
		announced = announced || a.Given && a.Name == "--checkpoint"
		given := "given"
		if !a.Given {
			given = "NOT GIVEN"
		}
		say("  %s %s: %s", a.Name, given, a.Text)
	}
	switch r.Verdict() {
	case audit.Good:
		say("good: %s root v%d, %d lines, vouched for up to line %d", r.Kind, r.Version, r.Lines, r.Vouched)
		if !announced {
			say("LATER LINES MAY BE MISSING: nothing in a record says that line %d was its last; --checkpoint takes what was announced", r.Lines)
		}
	case audit.Unfinished:
		say("NOT FINISHED: vouched for up to line %d of %d", r.Vouched, r.Lines)
	default:
		say("NOT GOOD")
	}
}

// showKeys writes whose keys the root has, and on which tokens.
func showKeys(say func(string, ...any), r *audit.Report) {
	if len(r.Keys) == 0 {
		return
	}
	say("Keys:")
	for _, k := range r.Keys {
		text := []string{k.Custody}
		if k.KeyID != "" {
			text = append(text, fmt.Sprintf("key %.8s", k.KeyID))
		}
		if k.Serial != 0 {
			text = append(text, "token "+keys.SerialText(k.Serial))
		}
		if k.Sticker != "" {
			text = append(text, "sticker "+k.Sticker)
		}
		if k.Firmware != (keys.Firmware{}) {
			text = append(text, "firmware "+k.Firmware.String())
		}
		say("  %s: %s", k.Name, strings.Join(text, ", "))
	}
}
