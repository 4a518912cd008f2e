package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/confine"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
	"rootceremony/keys/virtual"
	"rootceremony/keys/yubico"
	"rootceremony/keys/yubikey"
)

// virtualRootFile is where a rehearsal on virtual tokens leaves their attestation
// root, for collect and for rootverify record.
const virtualRootFile = "rehearsal/attestation-root.pem"

// enrolCommand prepares a holder's token away from the ceremony.
func enrolCommand(args []string) error {
	flags := flag.NewFlagSet("enrol", flag.ContinueOnError)
	name := flags.String("holder", "", "")
	plainly := flags.Bool("plain", false, "")
	kind := flags.String("tokens", "", "")
	rootFile := flags.String("attestation-root", "", "")
	intermediatesFile := flags.String("attestation-intermediates", "", "")
	operands, err := parse(flags, args, 1, 1, "one PLAN")
	if err != nil {
		return err
	}
	if *name == "" {
		return &usageError{"enrol wants --holder NAME, one of the plan's holders"}
	}
	planned, err := agreedPlan(operands[0])
	if err != nil {
		return err
	}
	if err := planned.Elsewhere(); err != nil {
		return err
	}
	holder, err := holderNamed(planned, *name)
	if err != nil {
		return err
	}
	if holder.Custody == agreed.Existing {
		command := agreed.Command("sign", "FILE")
		if planned.Rehearsal {
			command = agreed.Command("sign", "--rehearsal", "DIR", "FILE")
		}
		return fmt.Errorf("the key of %s stays as it is, so there is nothing to enrol (hint: it is needed to sign: %s signs elsewhere)", holder.Name, command)
	}
	if *kind == "" {
		*kind = heldOn(enrolmentDir(holder))
	}
	switch {
	case !planned.Rehearsal && (*kind != "" && *kind != yubikey.Kind || *rootFile != ""):
		return &usageError{"enrol --tokens and --attestation-root go with the plan of a rehearsal"}
	case *kind == "" && planned.Rehearsal:
		*kind = virtual.Kind
	case *kind == "":
		*kind = yubikey.Kind
	}
	desk, err := openEnrolment(planned, operands[0], holder, *kind, *rootFile, *intermediatesFile)
	if err != nil {
		return err
	}
	defer desk.Close()
	if onScreen(*plainly) {
		return showUI(deskRoom(desk, planned.Rehearsal))
	}
	return runPlain(desk, planned.Rehearsal)
}

// agreedPlan reads a plan.resolved.json, or a plan.toml that resolves to the
// same on every day.
func agreedPlan(file string) (*agreed.Plan, error) {
	text, err := transcript.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(text, []byte("{")) {
		planned, err := agreed.Parse(text, nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return planned, nil
	}
	planned, err := plan.Read(file)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(planned.Root.Expires, "d") {
		return nil, fmt.Errorf("%s: root.expires is %q, which is another date on another day, so this plan's digest would not be the room's (hint: use the plan.resolved.json that the room has agreed, or a date)", file, planned.Root.Expires)
	}
	if planned.Salt == "" {
		return nil, fmt.Errorf("%s: there is no salt, so this plan's digest would not be the room's (hint: use the plan.resolved.json that the room has agreed; %s says which line to add to a plan that isn't agreed yet)", file, agreed.Command("check", file))
	}
	resolved, err := planned.Resolve(clock())
	if err != nil {
		return nil, err
	}
	return agreed.Parse(resolved.JSON(), nil) // what is private has no business in an enrolment
}

// holderNamed finds a holder by id or name.
func holderNamed(planned *agreed.Plan, name string) (agreed.Holder, error) {
	var all []string
	for _, h := range planned.Holders {
		if h.ID == name || strings.EqualFold(h.Name, name) {
			return h, nil
		}
		all = append(all, h.ID)
	}
	return agreed.Holder{}, fmt.Errorf("the plan has no holder %q (hint: it has %s)", name, strings.Join(all, ", "))
}

// enrolmentDir is where a holder's enrolment is kept.
func enrolmentDir(holder agreed.Holder) string { return "enrolment-" + holder.ID }

// openEnrolment opens the enrolment of a holder in its folder here, of the plan
// that was read from a file.
func openEnrolment(planned *agreed.Plan, planFile string, holder agreed.Holder, kind, rootFile, intermediatesFile string) (*ceremony.Desk, error) {
	if kind != virtual.Kind && kind != yubikey.Kind {
		return nil, &usageError{fmt.Sprintf("enrol --tokens is %s or %s, not %q", virtual.Kind, yubikey.Kind, kind)}
	}
	var tokens prompt.Tokens
	var err error
	if kind == yubikey.Kind {
		if tokens, err = readersTrusting(rootFile, intermediatesFile, planned.Rehearsal); err != nil {
			return nil, err
		}
	}
	dir := enrolmentDir(holder)
	if err := disk.MakeFolder(dir); err != nil {
		return nil, err
	}
	places := confine.Places{Write: []string{dir}, Read: []string{rootFile, intermediatesFile}}
	if err := confined(withMemory(withPlan(places, planFile))); err != nil {
		return nil, err
	}
	desk, err := ceremony.OpenDesk(dir, ceremony.Settings{Program: "rootceremony " + version, Clock: clock,
		Rehearsal: planned.Rehearsal, Tokens: kind, Enrols: holder.ID, Plan: planned,
		Roots: tokens.Roots, Intermediates: tokens.Intermediates})
	if err != nil {
		return nil, err
	}
	if !planned.Rehearsal {
		if err := safeNow(desk); err != nil {
			return nil, err
		}
	}
	if kind == virtual.Kind {
		if tokens, err = virtualTokens(dir, []agreed.Holder{holder}); err != nil {
			_ = desk.Close()
			return nil, err
		}
	}
	desk.UseTokens(tokens)
	fmt.Fprintln(os.Stderr, "rootceremony: the enrolment is kept in", dir)
	return desk, nil
}

func certificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// collectCommand takes what was made elsewhere into a ceremony.
func collectCommand(args []string) error {
	flags := flag.NewFlagSet("collect", flag.ContinueOnError)
	rootFile := flags.String("attestation-root", "", "")
	intermediatesFile := flags.String("attestation-intermediates", "", "")
	operands, err := parse(flags, args, 2, -1, "DIR and one FILE or more")
	if err != nil {
		return err
	}
	if err := confined(ceremonyPlaces(operands[0], slices.Concat(operands[1:], []string{*rootFile, *intermediatesFile})...)); err != nil {
		return err
	}
	desk, err := openCollector(operands[0], *rootFile, *intermediatesFile)
	if err != nil {
		return err
	}
	defer desk.Close()
	refused := 0
	for _, file := range operands[1:] {
		if err := collectFile(desk, file); err != nil {
			report(fmt.Errorf("%s: %w", file, err))
			refused++
		}
	}
	if refused > 0 {
		return fmt.Errorf("%d of %d files were not taken in", refused, len(operands)-1)
	}
	return nil
}

// openCollector opens the ceremony in dir for what comes from elsewhere. It
// needs attestation roots, and no reader.
func openCollector(dir, rootFile, intermediatesFile string) (*ceremony.Desk, error) {
	there, err := ceremony.LookAt(dir)
	if err != nil {
		return nil, err
	}
	begun := there.State().Begun
	if begun == nil {
		return nil, fmt.Errorf("%s: the ceremony has not begun", dir)
	}
	if !begun.Rehearsal && rootFile != "" {
		return nil, &usageError{"collect --attestation-root goes with a rehearsal: a ceremony trusts Yubico's roots alone"}
	}
	tokens := prompt.Tokens{Intermediates: yubico.Intermediates()}
	if begun.Tokens == virtual.Kind {
		drawer, err := virtual.OpenDrawer(filepath.Join(dir, filepath.FromSlash(ceremony.TokensDir)))
		if err != nil {
			return nil, err
		}
		tokens.Roots = append(tokens.Roots, drawer.AttestationRoot())
	} else if rootFile == "" {
		tokens.Roots = yubico.Roots()
	}
	for _, more := range []struct {
		file, name string
		to         *[]*x509.Certificate
	}{{rootFile, "attestation-root", &tokens.Roots}, {intermediatesFile, "attestation-intermediate", &tokens.Intermediates}} {
		if more.file == "" {
			continue
		}
		read, err := certificates(more.file)
		if err != nil {
			return nil, err
		}
		*more.to = append(slices.Clone(*more.to), read...)
		if !begun.Rehearsal {
			continue
		}
		for _, certificate := range read { // to which later starts hold what is collected now
			text := certificatePEM(certificate)
			file := filepath.Join(dir, "rehearsal", fmt.Sprintf("%s.%.8s.pem", more.name, agreed.DigestOf(text)))
			if err := disk.WriteNew(file, text, 0o644); err != nil {
				return nil, err
			}
		}
	}
	memory := filepath.Join(dir, filepath.FromSlash(ceremony.MemoryFile))
	if !begun.Rehearsal {
		if memory, err = memoryFile(); err != nil {
			return nil, err
		}
	}
	desk, err := ceremony.OpenDesk(dir, ceremony.Settings{Program: "rootceremony " + version, Clock: clock, Rehearsal: begun.Rehearsal, Tokens: begun.Tokens, Memory: memory,
		Roots: tokens.Roots, Intermediates: tokens.Intermediates})
	if err != nil {
		return nil, err
	}
	desk.UseTokens(tokens)
	return desk, nil
}

func collectFile(desk *ceremony.Desk, file string) error {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return collectFolder(desk, file)
	}
	text, err := transcript.ReadFile(file)
	if err != nil {
		return err
	}
	taken, err := desk.Collect(text)
	if err != nil {
		return err
	}
	if taken.Root != nil {
		return rootCollected(file, taken.Root)
	}
	lines := []string{fmt.Sprintf("%s: collected: %s, token %s; the words of the card are still to be confirmed in the task of %s", file, taken.Holder.Name, keys.SerialText(taken.Serial), taken.Holder.Name)}
	if taken.Already {
		lines[0] = fmt.Sprintf("%s: was collected before: %s, token %s", file, taken.Holder.Name, keys.SerialText(taken.Serial))
	}
	for _, said := range taken.Remarks {
		lines = append(lines, "  "+said)
	}
	return printLines(lines)
}

// collectFolder takes the signatures in a ceremony directory, and says what
// became of all that lies there.
func collectFolder(desk *ceremony.Desk, dir string) error {
	taken, err := desk.CollectFolder(dir)
	if err != nil {
		return err
	}
	if err := printLines([]string{dir + ": " + taken.Text}); err != nil {
		return err
	}
	refused, found := 0, 0
	for _, part := range taken.Parts {
		switch {
		case part.Root != nil:
			found++
			err = rootCollected(part.File, part.Root)
		case part.Err != nil:
			err = part.Err
		default:
			err = printLines([]string{part.File + ": " + part.Skipped})
		}
		if err != nil {
			report(fmt.Errorf("%s: %w", part.File, err))
			refused++
		}
	}
	switch {
	case refused > 0:
		return fmt.Errorf("%d things in it need a look", refused)
	case found == 0:
		return errors.New("there is no signature in it of a draft of this ceremony")
	}
	return nil
}

// rootCollected says what became of every signature in a root file.
func rootCollected(file string, root *ceremony.CollectedRoot) error {
	draft := fmt.Sprintf("root v%d, draft %.8s", root.Version, root.Digest)
	if root.Abandoned {
		draft += ", which was abandoned"
	}
	if root.Rival {
		draft = fmt.Sprintf("ANOTHER ROOT v%d; SHA-256 of what is signed: %s", root.Version, root.Digest)
	}
	lines := []string{file + ": " + draft}
	wrong := 0
	for _, sig := range root.Signatures {
		lines = append(lines, fmt.Sprintf("  %s: %s", sig.Name, sig.Text))
		if sig.Wrong {
			wrong++
		}
	}
	if err := printLines(append(lines, "  "+root.Counts)); err != nil {
		return err
	}
	if root.Alarm != "" {
		return errors.New(root.Alarm)
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d signatures in it were not taken", wrong, len(root.Signatures))
	}
	return nil
}
