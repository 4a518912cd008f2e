package main

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/audit"
	"rootceremony/ceremony/confine"
	"rootceremony/ceremony/interview"
	"rootceremony/ceremony/laptop"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/seen"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys/session"
	"rootceremony/keys/virtual"
	"rootceremony/keys/yubico"
	"rootceremony/keys/yubikey"
	"rootceremony/ui"
	"rootceremony/ui/plain"
	"rootceremony/ui/show"
)

// runCommand holds a ceremony on real tokens.
func runCommand(args []string) error {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	plainly := flags.Bool("plain", false, "")
	intermediates := flags.String("attestation-intermediates", "", "")
	operands, err := parse(flags, args, 1, 1, "one DIR")
	if err != nil {
		return err
	}
	if err := confined(ceremonyPlaces(operands[0], *intermediates)); err != nil {
		return err
	}
	desk, err := openReal(operands[0], *intermediates)
	if err != nil {
		return err
	}
	defer desk.Close()
	if onScreen(*plainly) {
		return showUI(deskRoom(desk, false))
	}
	return runPlain(desk, false)
}

// realTokens are those for the ceremony of the plan in dir, which Yubico made. The
// error tells why it cannot be held.
func realTokens(dir, intermediates string) (prompt.Tokens, error) {
	var none prompt.Tokens
	if desk, err := ceremony.LookAt(dir); err == nil && desk.State().Begun != nil && desk.State().Begun.Rehearsal {
		return none, fmt.Errorf("%s is a rehearsal (hint: %s goes on with it)", dir, agreed.Command("rehearse", dir))
	} else if err != nil && !errors.Is(err, transcript.ErrNone) {
		return none, err
	}
	file := filepath.Join(dir, state.PlanFile)
	planned, err := usablePlan(file)
	if !hasPlan(dir) {
		if err == nil {
			err = planned.Real()
		}
		if err != nil {
			return none, err
		}
	}
	tokens, err := genuine(intermediates, false)
	if errors.Is(err, errNoSmartCards) {
		if planned != nil {
			err = fmt.Errorf("%w; %s holds the same one on virtual tokens", err, planned.RehearseCommand())
		}
		return none, fmt.Errorf("the ceremony of %s cannot be held: %w", file, err)
	}
	return tokens, err
}

// openReal opens the ceremony of the plan in dir, on tokens that Yubico made.
func openReal(dir, intermediates string) (*ceremony.Desk, error) {
	tokens, err := realTokens(dir, intermediates)
	if err != nil {
		return nil, err
	}
	memory, err := memoryFile()
	if err != nil {
		return nil, err
	}
	desk, err := ceremony.OpenDesk(dir, ceremony.Settings{Program: "rootceremony " + version, Clock: clock, Tokens: yubikey.Kind, Memory: memory,
		Roots: tokens.Roots, Intermediates: tokens.Intermediates})
	if err != nil {
		return nil, err
	}
	if err := safeNow(desk); err != nil {
		return nil, err
	}
	desk.UseTokens(tokens)
	return desk, nil
}

// safeNow closes the desk of a ceremony whose laptop was checked when it was
// begun, where this start has an environment that lets nobody type a PIN.
func safeNow(desk *ceremony.Desk) error {
	if desk.State().Preflight == nil { // which looks at that, too
		return nil
	}
	err := laptop.SafeEnvironment()
	if err != nil {
		_ = desk.Close()
	}
	return err
}

// planCommand writes a plan by asking for it.
func planCommand(args []string) error {
	flags := flag.NewFlagSet("plan", flag.ContinueOnError)
	kind := flags.String("kind", agreed.Create, "")
	plainly := flags.Bool("plain", false, "")
	operands, err := parse(flags, args, 1, 1, "one DIR")
	if err != nil {
		return err
	}
	dir := operands[0]
	if err := planFree(dir, *kind); err != nil {
		return err
	}
	if onScreen(*plainly) {
		remember(dir)
		return showUI(&ui.Room{Desk: &planDesk{dir: dir, kind: *kind}})
	}
	front, closeFront, err := guardedFront(plain.Options{Interview: true})
	if err != nil {
		return err
	}
	defer closeFront()
	ctx := context.Background()
	come, err := interview.Hold(ctx, front, dir, *kind, clock())
	if errors.Is(err, prompt.ErrLeft) || errors.Is(err, prompt.ErrBack) {
		fmt.Fprintln(os.Stderr, "rootceremony: left early; nothing was written")
		return errUnfinished
	}
	if err != nil {
		return err
	}
	if err := come.Write(dir); err != nil {
		return err
	}
	if err := front.Tell(ctx, come.After); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(come.Files)) {
		fmt.Fprintf(os.Stderr, "rootceremony: wrote %s\n", filepath.Join(dir, name))
	}
	return nil
}

// planFree tells why no plan of a kind can be written in dir. One that follows a
// root needs no folder: it is made with the plan. kind "" is not known yet.
func planFree(dir, kind string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && kind != agreed.Create:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s does not exist (hint: make it, and put the public keys of the online roles into it, for instance as keys/timestamp.pub)", dir)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is a file (hint: name a directory)", dir)
	}
	if _, err := os.Lstat(filepath.Join(dir, transcript.FileName)); err == nil {
		return fmt.Errorf("%s is the folder of a ceremony that has begun, and its plan stays as it is (hint: name another folder for the plan of what follows; it asks for this one)", dir)
	}
	file := filepath.Join(dir, state.PlanFile)
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("%s is there already, and is never replaced (hint: edit it, or name another directory)", file)
	}
	return nil
}

// checkCommand says what a plan would make.
func checkCommand(args []string) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "")
	operands, err := parse(flags, args, 1, 1, "one PLAN")
	if err != nil {
		return err
	}
	file := operands[0]
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		file = filepath.Join(file, state.PlanFile)
	}
	check, err := checked(file)
	if err != nil {
		return err
	}
	if *asJSON {
		return tuf.WriteJSON(os.Stdout, check)
	}
	return printLines(check.Lines())
}

// checked says what the plan in a file would make, and what this laptop lacks for it.
func checked(file string) (*agreed.Checked, error) {
	planned, err := plan.Read(file)
	if err != nil {
		return nil, err
	}
	check, err := planned.Check(clock())
	if err != nil {
		return nil, err
	}
	check.Warnings = append(check.Warnings, ceremony.MissingPlugins(check.Plan)...)
	return check, nil
}

// ceremonyStatus is what status --json prints.
type ceremonyStatus struct {
	Name       string        `json:"name"`
	Kind       string        `json:"kind"`
	Rehearsal  bool          `json:"rehearsal"`
	Digest     string        `json:"digest,omitempty"` // of the agreed plan
	Finished   bool          `json:"finished"`
	Next       string        `json:"next,omitempty"` // id of a task
	Tasks      []prompt.Task `json:"tasks"`
	Signatures int           `json:"signatures"`
	Threshold  int           `json:"threshold"`
	Counts     []tuf.Report  `json:"counts,omitempty"` // for the trusted root, and for the new one
	Exceptions int           `json:"exceptions"`
	Published  string        `json:"published,omitempty"` // file in the directory
}

// statusCommand says what is done, next and missing, and changes nothing.
func statusCommand(args []string) error {
	flags := flag.NewFlagSet("status", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "")
	operands, err := parse(flags, args, 1, 1, "one DIR")
	if err != nil {
		return err
	}
	desk, err := ceremony.LookAt(operands[0])
	if err != nil {
		return err
	}
	now := desk.State()
	if err := desk.CheckFiles(); err != nil {
		return err
	}
	status := ceremonyStatus{Rehearsal: now.Begun != nil && now.Begun.Rehearsal, Finished: now.Finished() || now.HandedOver != nil,
		Tasks: desk.Tasks(), Exceptions: now.Exceptions}
	if now.Plan != nil {
		status.Name, status.Kind, status.Digest = now.Plan.Name, now.Plan.Kind, now.Digest
		status.Threshold, status.Signatures = now.Plan.Threshold, len(now.Signatures())
	}
	status.Counts = now.Counts()
	if next, ok := desk.Next(); ok {
		status.Next = next.ID
	}
	if now.Published != nil {
		status.Published = now.Published.File.Name
	}
	if *asJSON {
		err = tuf.WriteJSON(os.Stdout, status)
	} else {
		err = printLines(desk.Status())
	}
	if err == nil && !status.Finished {
		return errUnfinished
	}
	return err
}

// discloseCommand copies out the public edition of a ceremony.
func discloseCommand(args []string) error {
	flags := flag.NewFlagSet("disclose", flag.ContinueOnError)
	rootFile := flags.String("attestation-root", "", "")
	intermediatesFile := flags.String("attestation-intermediates", "", "")
	operands, err := parse(flags, args, 2, 2, "one DIR and one FOLDER")
	if err != nil {
		return err
	}
	dir, folder := operands[0], operands[1]
	desk, err := ceremony.LookAt(dir)
	if err != nil {
		return err
	}
	files, left, err := desk.Disclose(folder)
	if err != nil {
		return err
	}
	lines := []string{fmt.Sprintf("%s: the public edition of %s, %d files", folder, dir, files)}
	for _, name := range left {
		lines = append(lines, "left out: "+name)
	}
	if !desk.State().Finished() {
		lines = append(lines, "the ceremony goes on: what comes later is not in it")
	}
	report, err := auditEdition(dir, folder, *rootFile, *intermediatesFile, desk.State().Begun)
	if err != nil {
		return err
	}
	lines = append(lines, fmt.Sprintf("audited there: %s, vouched for up to line %d of %d", report.Verdict(), report.Vouched, report.Lines))
	if err := printLines(lines); err != nil || report.Verdict() != audit.Bad {
		return err
	}
	i := slices.IndexFunc(report.Checks, func(c audit.Check) bool { return c.Status == audit.Failed })
	return fmt.Errorf("the public edition is not good: %s %s: %s (hint: rootverify record says more; publish nothing before you know why)", report.Checks[i].Name, report.Checks[i].Subject, report.Checks[i].Text)
}

// auditEdition audits the public edition of a ceremony in its folder, as anyone who
// gets it does. The attestation root of virtual tokens is the rehearsal's own.
func auditEdition(dir, folder, rootFile, intermediatesFile string, begun *state.Begun) (*audit.Report, error) {
	o := audit.Options{Roots: yubico.Roots(), Intermediates: yubico.Intermediates(), Rehearsal: begun.Rehearsal}
	for _, f := range []struct {
		file string
		to   *[]*x509.Certificate
	}{{rootFile, &o.Roots}, {ownRoot(dir, begun), &o.Roots}, {intermediatesFile, &o.Intermediates}} {
		if f.file == "" {
			continue
		}
		more, err := certificates(f.file)
		if err != nil {
			return nil, err
		}
		*f.to = append(*f.to, more...)
	}
	return audit.Directory(folder, o), nil
}

// ownRoot is the file with the attestation root of a rehearsal's virtual tokens;
// "": it is held on others.
func ownRoot(dir string, begun *state.Begun) string {
	if !begun.Rehearsal || begun.Tokens != virtual.Kind {
		return ""
	}
	return filepath.Join(dir, filepath.FromSlash(virtualRootFile))
}

// preflightCommand looks at this laptop.
func preflightCommand(args []string) error {
	flags := flag.NewFlagSet("preflight", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "")
	operands, err := parse(flags, args, 0, 1, "at most one DIR")
	if err != nil {
		return err
	}
	dir := "."
	if len(operands) == 1 {
		dir = operands[0]
	}
	places := confine.Places{Read: []string{dir}}
	if memory, err := stateFolder(); err == nil {
		places.Read = append(places.Read, memory)
	}
	if err := confined(places); err != nil {
		return err
	}
	tokens, noTokens := genuine("", false)
	start := tokens.Start
	if noTokens != nil {
		start = func(context.Context) (*session.Session, error) { return nil, noTokens }
	}
	findings := laptop.Preflight(context.Background(), dir, clock(), false, start)
	logs := ""
	if memory, err := memoryFile(); err == nil {
		logs = filepath.Join(filepath.Dir(memory), seen.FileName)
	}
	findings = append(findings, laptop.Itself(logs)...)
	if *asJSON {
		err = tuf.WriteJSON(os.Stdout, findings)
	} else {
		err = printLines(ceremony.FindingLines(findings))
	}
	failures := 0
	for _, f := range findings {
		if f.Level == state.LevelFail {
			failures++
		}
	}
	switch {
	case err == nil && failures == 1:
		return errors.New("a check failed (hint: mend what it names, and look again)")
	case err == nil && failures > 1:
		return fmt.Errorf("%d checks failed (hint: mend what they name, and look again)", failures)
	}
	return err
}

// printLines prints text that may come from files.
func printLines(lines []string) error {
	var text strings.Builder
	for _, line := range lines {
		text.WriteString(show.Clean(line) + "\n")
	}
	_, err := io.WriteString(os.Stdout, text.String())
	return err
}
