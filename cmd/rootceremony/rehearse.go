package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/confine"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/rehearsal"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
	"rootceremony/keys/plainfile"
	"rootceremony/keys/session"
	"rootceremony/keys/virtual"
	"rootceremony/keys/yubico"
	"rootceremony/keys/yubikey"
	"rootceremony/ui/plain"
	"rootceremony/ui/show"
)

func clock() time.Time { return time.Now() }

// rehearseCommand holds a ceremony on virtual tokens, or goes on with one.
func rehearseCommand(args []string) error {
	r, err := parseRehearse(args)
	if err != nil {
		return err
	}
	dir, err := rehearsalFolder(r.operands)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err != nil { // which is not made where nothing can begin in it
		if _, err := r.begins(dir); err != nil {
			return err
		}
	}
	places, err := r.places(dir)
	if err == nil {
		err = confined(places)
	}
	if err != nil {
		return err
	}
	with, err := r.begins(dir)
	if err != nil {
		return err
	}
	desk, err := openRehearsal(dir, r.from, r.identities, with.real, with.files)
	if len(r.operands) == 0 {
		if _, err := os.Lstat(dir); err == nil { // also where it was begun alone
			fmt.Fprintln(os.Stderr, "rootceremony: the rehearsal is kept in", dir)
		}
	}
	if err != nil {
		return err
	}
	defer desk.Close()
	if r.auto {
		return rehearseAlone(desk, with.answers)
	}
	if err := sayStandIns(desk); err != nil {
		return err
	}
	if onScreen(r.plainly) {
		return showUI(deskRoom(desk, true))
	}
	return runPlain(desk, true)
}

// rehearsedWith is what a rehearsal begins with, or goes on with.
type rehearsedWith struct {
	answers map[string]string // of a script
	real    *prompt.Tokens    // nil: virtual ones
	files   map[string][]byte
}

// begins reads what the rehearsal in dir begins with. Nothing is written.
func (r *rehearsing) begins(dir string) (w rehearsedWith, err error) {
	if err := r.knowTokens(); err != nil {
		return w, err
	}
	if w.answers, err = readAnswers(r.answers); err != nil {
		return w, err
	}
	if w.real, err = rehearsalReaders(r.kind, r.root, r.intermediates); err != nil {
		return w, err
	}
	if r.auto && w.real == nil {
		if err := tokensThere(dir, r.from); err != nil {
			return w, err
		}
	}
	w.files, err = rehearsalFiles(dir, r.from, r.identities, w.real)
	return w, err
}

// rehearsing is what rehearse was asked for.
type rehearsing struct {
	from          beginning
	kind          string // of the tokens
	auto, plainly bool
	answers       string   // a file; "": none
	identities    string   // a folder; "": the rehearsal's own
	root          string   // a file of attestation roots; "": Yubico's
	intermediates string   // a file; "": those this program knows
	operands      []string // at most one directory
}

func parseRehearse(args []string) (r rehearsing, err error) {
	flags := flag.NewFlagSet("rehearse", flag.ContinueOnError)
	flags.StringVar(&r.from.plan, "plan", "", "")
	flags.StringVar(&r.from.after, "after", "", "")
	flags.StringVar(&r.from.standIn, "stand-in", "", "")
	flags.BoolVar(&r.auto, "auto", false, "")
	flags.StringVar(&r.answers, "answers", "", "")
	flags.StringVar(&r.identities, "identities", "", "")
	flags.BoolVar(&r.plainly, "plain", false, "")
	flags.StringVar(&r.kind, "tokens", "", "")
	flags.StringVar(&r.root, "attestation-root", "", "")
	flags.StringVar(&r.intermediates, "attestation-intermediates", "", "")
	if r.operands, err = parse(flags, args, 0, 1, "at most one DIR"); err != nil {
		return r, err
	}
	if r.answers != "" && !r.auto {
		return r, &usageError{"rehearse --answers goes with --auto"}
	}
	if r.from.standIn != "" && (r.from.after != "" || r.from.plan != "" || r.kind == yubikey.Kind) {
		return r, &usageError{"rehearse --stand-in goes without --plan and --after, and on virtual tokens"}
	}
	return r, nil
}

// knowTokens completes the kind of the tokens: that on which the rehearsal was
// begun.
func (r *rehearsing) knowTokens() error {
	if r.kind == "" && len(r.operands) == 1 {
		r.kind = heldOn(r.operands[0])
	}
	r.kind = cmp.Or(r.kind, virtual.Kind)
	if r.kind != virtual.Kind && r.kind != yubikey.Kind {
		return &usageError{fmt.Sprintf("rehearse --tokens is %s or %s, not %q", virtual.Kind, yubikey.Kind, r.kind)}
	}
	if r.kind == virtual.Kind && (r.root != "" || r.intermediates != "") {
		return &usageError{"rehearse --attestation-root and --attestation-intermediates go with --tokens " + yubikey.Kind}
	}
	return nil
}

// places are what the rehearsal in dir needs. dir is made, where it was named: a
// fresh one comes into the folder of this laptop's memory.
func (r rehearsing) places(dir string) (confine.Places, error) {
	p := confine.Places{Read: []string{r.answers, r.identities, r.root, r.intermediates, r.from.after}}
	if len(r.operands) > 0 {
		if err := disk.MakeFolder(dir); err != nil {
			return p, err
		}
		p.Write = []string{dir}
	}
	if len(r.operands) == 0 || !r.auto {
		p = withMemory(p)
	}
	for _, file := range []string{filepath.Join(dir, state.PlanFile), r.from.plan, r.from.standIn} {
		if file != "" {
			p = withPlan(p, file)
		}
	}
	if r.from.standIn != "" { // whose tokens are made in a folder of their own first
		p.Write = append(p.Write, os.TempDir())
	}
	return p, nil
}

// rehearsalReaders are this machine's readers, for a rehearsal on real tokens;
// nil for one on virtual tokens.
func rehearsalReaders(kind, rootFile, intermediatesFile string) (*prompt.Tokens, error) {
	if kind != yubikey.Kind {
		return nil, nil
	}
	tokens, err := readersTrusting(rootFile, intermediatesFile, true)
	return &tokens, err
}

// rehearseAlone holds a rehearsal with nobody at the keyboard.
func rehearseAlone(desk *ceremony.Desk, answers map[string]string) error {
	if err := identitiesThere(desk, answers); err != nil {
		return err
	}
	laid, err := laidAnswers(desk.Dir())
	if err != nil {
		return err
	}
	maps.Copy(laid, answers)
	return runScript(context.Background(), desk, &prompt.Script{Answers: laid})
}

// rehearsalFolder is the folder that was named, or a fresh one.
func rehearsalFolder(operands []string) (string, error) {
	if len(operands) == 1 {
		return operands[0], nil
	}
	home, err := stateFolder()
	if err != nil {
		return "", err
	}
	return freshRehearsal(home), nil
}

// heldOn is the kind of tokens on which what is in dir was begun; "": nothing
// was.
func heldOn(dir string) string {
	desk, err := ceremony.LookAt(dir)
	if err != nil || desk.State().Begun == nil {
		return ""
	}
	return desk.State().Begun.Tokens
}

// readersTrusting are this machine's readers; a rehearsal may trust another
// attestation root than Yubico's.
func readersTrusting(rootFile, intermediatesFile string, rehearsal bool) (prompt.Tokens, error) {
	tokens, err := genuine(intermediatesFile, rehearsal)
	if err != nil || rootFile == "" {
		return tokens, err
	}
	tokens.Roots, err = certificates(rootFile)
	return tokens, err
}

// beginning is what a rehearsal is begun with: files and a directory that were
// named, or nothing.
type beginning struct{ plan, after, standIn string }

// rehearsalFiles are the files that the rehearsal in dir begins with, as
// rehearsalPlan has them. Nothing is written.
func rehearsalFiles(dir string, from beginning, identities string, real *prompt.Tokens) (map[string][]byte, error) {
	if identities != "" {
		if info, err := os.Stat(identities); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("the folder of identities %s cannot be read: %w", identities, cmp.Or(err, error(unix.ENOTDIR)))
		}
	}
	return rehearsalPlan(dir, from, kindOf(real), identities != "")
}

// kindOf is the kind of these tokens; nil: virtual ones.
func kindOf(real *prompt.Tokens) string {
	if real != nil {
		return yubikey.Kind
	}
	return virtual.Kind
}

// openRehearsal opens the rehearsal in dir, where needed with the files it begins
// with, on real tokens, or where that is nil with a drawer of virtual ones.
// identities is the folder of the identities of recipients that are no tokens; "":
// in dir.
func openRehearsal(dir string, from beginning, identities string, real *prompt.Tokens, files map[string][]byte) (*ceremony.Desk, error) {
	if err := disk.MakeFolder(dir); err != nil {
		return nil, err
	}
	set := ceremony.Settings{Program: "rootceremony " + version, Clock: clock, Rehearsal: true, Tokens: kindOf(real),
		Memory: filepath.Join(dir, filepath.FromSlash(ceremony.MemoryFile))}
	if real != nil {
		set.Roots, set.Intermediates = real.Roots, real.Intermediates
	}
	desk, err := ceremony.OpenDesk(dir, set)
	if err != nil {
		return nil, err
	}
	if desk.State().Closed != nil {
		return desk, nil
	}
	err = layOut(dir, files, from == beginning{})
	if err == nil && real == nil {
		real, err = tokensPlanned(desk)
	}
	if err != nil {
		_ = desk.Close()
		return nil, err
	}
	real.Identities = identities
	desk.UseTokens(*real)
	return desk, nil
}

// tokensThere tells why an automatic rehearsal would end where the keys of the
// trusted root sign: nothing was named that has them.
func tokensThere(dir string, from beginning) error {
	if from.plan == "" || from.after != "" {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(dir, state.PlanFile)); err == nil {
		return nil // its tokens are there too, or it is refused
	}
	plan, err := usablePlan(from.plan)
	if err != nil || plan.Chain == nil {
		return err
	}
	return fmt.Errorf("%s follows on version %d, whose keys are on no token of a new rehearsal (hint: %s has them)", from.plan, plan.Chain.Last.Root.Version, plan.RehearseCommand())
}

// identitiesThere tells which identity an automatic rehearsal would miss:
// nobody is there to say where it is.
func identitiesThere(desk *ceremony.Desk, answers map[string]string) error {
	if desk.State().Closed != nil {
		return nil
	}
	recipients, err := recipientsPlanned(desk)
	if err != nil {
		return err
	}
	folder := cmp.Or(desk.Tokens().Identities, filepath.Join(desk.Dir(), filepath.FromSlash(ceremony.IdentitiesDir)))
	for _, r := range recipients {
		if _, laid := answers["identity "+r.ID]; laid || r.Passphrase || answers["recipient.here "+r.ID] != "" {
			continue
		}
		file := filepath.Join(folder, r.ID+".txt")
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("the identity of the recipient %s is missing: %w (hint: rehearse --identities DIR names the folder that has it as %s.txt)", r.Name, err, r.ID)
		}
	}
	return nil
}

// rehearsalPlan returns the files that are to be written to dir: the plan that
// was given, or made, or the example, with what belongs to it; none where dir
// has a plan. A plan with faults is refused before anything is written. The
// identities of its recipients are there, or others stand in for them.
func rehearsalPlan(dir string, from beginning, kind string, identities bool) (map[string][]byte, error) {
	own := filepath.Join(dir, state.PlanFile)
	_, err := os.Lstat(own)
	has, given := err == nil, from != beginning{}
	if has {
		// The log of a rehearsal is older than its plan.
		if looked, err := ceremony.LookAt(dir); errors.Is(err, transcript.ErrNone) || err == nil && looked.State().Begun == nil {
			command := agreed.Command("rehearse", "--plan", own)
			if planned, err := plan.Read(own); err == nil {
				command = planned.RehearseCommand()
			}
			return nil, fmt.Errorf("%s is the plan of a ceremony that has not begun: a rehearsal in its folder would take its place (hint: %s rehearses it in a folder of its own)", own, command)
		}
	}
	if !has && (!given || from.standIn != "") && heldOn(dir) != "" {
		if _, err := os.Lstat(filepath.Join(dir, agreed.TrustedDir)); err == nil {
			return nil, fmt.Errorf("%s holds the beginning of a rehearsal that was cut short: a trusted chain, and no plan yet (hint: give --after again, or name another directory)", dir)
		}
	}
	switch {
	case !given && !has:
		return plan.Example()
	case !given && hasPlan(dir):
		return nil, nil // the log has the plan
	case !given:
		_, err := usablePlan(own)
		return nil, err
	case from.standIn != "":
		return standInFiles(dir, from.standIn)
	}
	var next *plan.Plan
	var files func() (map[string][]byte, error)
	if from.after != "" {
		f, err := follow(from.after, from.plan, kind)
		if err != nil {
			return nil, err
		}
		next, files = f.next, f.files
	} else {
		if next, err = usablePlan(from.plan); err != nil {
			return nil, err
		}
		files = next.PlanFiles
		if next.Chain == nil && !identities {
			files = func() (map[string][]byte, error) { return rehearsal.RehearsalFiles(next) }
		}
	}
	if !has {
		return files()
	}
	there, err := usablePlan(own)
	if err != nil {
		return nil, err
	}
	if !samePlan(next, there) && !rehearsal.StandsInFor(there, next.Data) {
		return nil, fmt.Errorf("%s has another plan already, or other key files (hint: leave --plan and --after away to go on with it, or name another directory)", dir)
	}
	return nil, nil
}

// usablePlan reads a plan that could be agreed now.
func usablePlan(file string) (*plan.Plan, error) {
	planned, err := plan.Read(file)
	if err == nil {
		_, err = planned.Resolve(clock())
	}
	return planned, err
}

// samePlan compares two plans with their key files.
func samePlan(a, b *plan.Plan) bool {
	one, err := a.PlanFiles()
	other, also := b.PlanFiles()
	if err != nil || also != nil {
		return false
	}
	return maps.EqualFunc(one, other, bytes.Equal)
}

// agreed reports whether the plan in dir was agreed.
func hasPlan(dir string) bool {
	desk, err := ceremony.LookAt(dir)
	return err == nil && desk.State().Plan != nil
}

// layOut writes the plan's files: the trusted chain first, so that what was cut
// short is seen, and the plan itself last. What is below rehearsal are its secrets:
// once they are written they are wiped, and gone from files.
func layOut(dir string, files map[string][]byte, example bool) error {
	planned := files[state.PlanFile]
	names := slices.Sorted(maps.Keys(files))
	slices.Reverse(names)
	for _, name := range names {
		if name == state.PlanFile {
			continue
		}
		text := files[name]
		mode := fs.FileMode(0o644)
		secret := strings.HasPrefix(name, "rehearsal/")
		if secret {
			mode = 0o600
		}
		err := disk.WriteWithin(dir, name, text, mode)
		if errors.Is(err, fs.ErrExist) && example {
			// Of the example that an interrupted start has laid out: an
			// identity goes on being that of its recipient.
			err = nil
			if path.Dir(name) == ceremony.IdentitiesDir {
				planned, err = withIdentityOf(filepath.Join(dir, filepath.FromSlash(name)), text, planned)
			}
		}
		if err != nil {
			return err
		}
		if secret {
			clear(text)
			delete(files, name)
		}
	}
	if planned == nil {
		return nil
	}
	return disk.WriteWithin(dir, state.PlanFile, planned, 0o644)
}

// withIdentityOf replaces in a plan the recipient of an identity by that of the
// identity that is in a file already.
func withIdentityOf(file string, made, planned []byte) ([]byte, error) {
	there, err := transcript.ReadFile(file)
	if err != nil {
		return nil, err
	}
	was, is := publicLine.FindSubmatch(made), publicLine.FindSubmatch(there)
	if was == nil || is == nil {
		return nil, fmt.Errorf("%s is not the identity of an example, and is never replaced (hint: name another directory)", file)
	}
	return bytes.ReplaceAll(planned, was[1], is[1]), nil
}

// publicLine is where an identity file says whose it is.
var publicLine = regexp.MustCompile(`(?m)^# public key: (age1[0-9a-z]+)$`)

// freshTokens is how many virtual tokens a rehearsal has that are nobody's,
// beside those that become spares.
const freshTokens = 2

// virtualTokens is a reader into which virtual tokens are plugged, one at a
// time. There is one for each holder, with the planned sticker.
func virtualTokens(dir string, holders []agreed.Holder) (prompt.Tokens, error) {
	folder := filepath.Join(dir, filepath.FromSlash(ceremony.TokensDir))
	drawer, err := virtual.OpenDrawer(folder)
	if err != nil {
		return prompt.Tokens{}, err
	}
	tokens := prompt.Tokens{Roots: []*x509.Certificate{drawer.AttestationRoot()}, PIN: drawer.PIN}
	if err := disk.WriteWithin(dir, virtualRootFile, certificatePEM(tokens.Roots[0]), 0o644); err != nil {
		return prompt.Tokens{}, err
	}
	serials, err := drawer.Serials()
	if err != nil {
		return prompt.Tokens{}, err
	}
	there := slices.Sorted(maps.Keys(serials))
	add := func(sticker string) (err error) {
		if serials[sticker] == 0 {
			serials[sticker], err = drawer.Add(sticker, virtual.Options{})
		}
		tokens.Stickers = append(tokens.Stickers, sticker)
		return err
	}
	fresh := freshTokens
	for _, h := range holders {
		if h.Spare {
			fresh++
		}
		if h.Token == "" {
			continue // a key that stays, on a token that is not here
		}
		if err := add(h.Token); err != nil {
			return prompt.Tokens{}, err
		}
	}
	for i := 1; fresh > 0; i++ {
		sticker := fmt.Sprintf("FRESH-%d", i)
		if slices.Contains(tokens.Stickers, sticker) {
			continue // a holder's, from an earlier rehearsal
		}
		if err := add(sticker); err != nil {
			return prompt.Tokens{}, err
		}
		fresh--
	}
	for _, sticker := range there {
		if !slices.Contains(tokens.Stickers, sticker) { // of a key that is dropped, or another from an earlier rehearsal
			tokens.Stickers = append(tokens.Stickers, sticker)
		}
	}
	backend := session.Backend{Kind: virtual.Kind, Dir: folder}
	tokens.Start = func(ctx context.Context) (*session.Session, error) { return sessionProgram.Start(ctx, backend) }
	tokens.Plug = func(stickers ...string) error {
		var plugged []uint32
		for _, sticker := range stickers {
			serial, ok := serials[sticker]
			if !ok {
				return fmt.Errorf("no virtual token has the sticker %q (hint: there are %s)", sticker, strings.Join(tokens.Stickers, ", "))
			}
			if !slices.Contains(plugged, serial) {
				plugged = append(plugged, serial)
			}
		}
		backend.Plugged = plugged
		return nil
	}
	return tokens, nil
}

// tokensPlanned are virtual tokens for the holders of the agreed plan, or of the
// one that is to be.
func tokensPlanned(desk *ceremony.Desk) (*prompt.Tokens, error) {
	var holders []agreed.Holder
	if planned := desk.State().Plan; planned != nil {
		holders = planned.Holders
	} else if planned, err := plan.Read(filepath.Join(desk.Dir(), state.PlanFile)); err == nil {
		holders = planned.Holders
	} else {
		return nil, err
	}
	tokens, err := virtualTokens(desk.Dir(), holders)
	return &tokens, err
}

// recipientsPlanned are those recipients of the agreed plan, or of the one that
// is to be, who are no holders.
func recipientsPlanned(desk *ceremony.Desk) ([]agreed.BackupRecipient, error) {
	planned := desk.State().Plan
	if planned == nil {
		read, err := plan.Read(filepath.Join(desk.Dir(), state.PlanFile))
		if err == nil {
			planned, err = read.Resolve(clock())
		}
		if err != nil {
			return nil, err
		}
	}
	if planned.Backup == nil {
		return nil, nil
	}
	return planned.Backup.Recipients, nil
}

// maxAnswers is the largest file of answers that is read, in bytes.
const maxAnswers = 1 << 20

// readAnswers reads lines "prompt id = answer"; empty lines and those that
// begin with # do not count.
func readAnswers(file string) (map[string]string, error) {
	answers := map[string]string{}
	if file == "" {
		return answers, nil
	}
	text, err := plainfile.Read(file, maxAnswers)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, answer, ok := strings.Cut(line, "=")
		if id = strings.TrimSpace(id); !ok || id == "" {
			return nil, fmt.Errorf("%s line %d: it is not of the form: prompt id = answer", file, number)
		}
		if _, twice := answers[id]; twice {
			return nil, fmt.Errorf("%s line %d: the prompt %q has an answer already", file, number, id)
		}
		answers[id] = strings.TrimSpace(answer)
	}
	return answers, lines.Err()
}

// runScript takes every task in turn, with nobody at the keyboard. A token for
// which the root is too large does not sign, as on the day.
func runScript(ctx context.Context, desk *ceremony.Desk, script *prompt.Script) error {
	tooLong := map[string]bool{}
	for {
		if err := collectStandIns(desk); err != nil {
			return err
		}
		task, ok := desk.Next()
		if ok && tooLong[task.ID] {
			task, ok = nextBut(desk, tooLong)
		}
		if !ok {
			break
		}
		before := desk.Checkpoint()
		err := desk.Run(ctx, task.ID, script)
		if errors.As(err, new(*keys.TooLongError)) {
			report(fmt.Errorf("task %q: %w", task.ID, err))
			tooLong[task.ID] = true
			continue
		}
		if err != nil {
			return fmt.Errorf("task %q: %w", task.ID, err)
		}
		if desk.Checkpoint() == before {
			return fmt.Errorf("task %q ended without doing anything", task.ID)
		}
	}
	return ended(desk)
}

// nextBut is the first task that can be taken, without those.
func nextBut(desk *ceremony.Desk, without map[string]bool) (prompt.Task, bool) {
	tasks := desk.Tasks()
	i := slices.IndexFunc(tasks, func(t prompt.Task) bool { return t.State == prompt.Ready && !t.Aside && !without[t.ID] })
	if i < 0 {
		return prompt.Task{}, false
	}
	return tasks[i], true
}

// runPlain holds the ceremony line by line.
func runPlain(desk *ceremony.Desk, rehearsal bool) error {
	front, closeFront, err := guardedFront(plain.Options{Rehearsal: rehearsal, Notebook: desk, Words: desk.Words})
	if err != nil {
		return err
	}
	defer closeFront()
	err = front.Run(context.Background(), desk)
	if errors.Is(err, prompt.ErrLeft) {
		return leftDesk(desk)
	}
	if err != nil {
		return err
	}
	return ended(desk)
}

// leftDesk says how to go on with a ceremony that people have left.
func leftDesk(desk *ceremony.Desk) error {
	begun := desk.State().Begun
	command := agreed.Command("run", desk.Dir())
	if begun.Rehearsal {
		command = agreed.Command("rehearse", desk.Dir())
		if begun.Tokens == yubikey.Kind && !slices.EqualFunc(desk.Tokens().Roots, yubico.Roots(), (*x509.Certificate).Equal) {
			command = agreed.Command("rehearse", "--attestation-root", "FILE", desk.Dir())
		}
	}
	if begun.Enrols != "" || desk.Apart() {
		command = "the same command, in the same folder,"
	}
	fmt.Fprintf(os.Stderr, "rootceremony: left early; nothing is lost (hint: %s goes on)\n", command)
	sayPaper(desk)
	if err := sayStandIns(desk); err != nil {
		return err
	}
	return errUnfinished
}

// sayPaper shows what people write down before they go, once nothing more is recorded.
func sayPaper(desk *ceremony.Desk) {
	for _, w := range desk.Paper() {
		fmt.Fprintln(os.Stderr, w.Heading())
		for _, row := range show.Rows(w.Words(), 76) {
			fmt.Fprintln(os.Stderr, "  "+row)
		}
	}
}

// ended says where the root is, or what is missing.
func ended(desk *ceremony.Desk) error {
	now := desk.State()
	if desk.Done() {
		return nil
	}
	if now.HandedOver != nil {
		fmt.Fprintln(os.Stderr, "rootceremony: wrote", filepath.Join(desk.Dir(), now.HandedOver.File.Name))
		return nil
	}
	if now.Closed == nil {
		sayPaper(desk)
		return errUnfinished
	}
	fmt.Fprintln(os.Stderr, "rootceremony: published", filepath.Join(desk.Dir(), now.Published.File.Name))
	if !now.Finished() {
		return errUnfinished
	}
	return nil
}
