// Package interview makes a plan by asking questions: for a first root, for the
// next one, and for the way out of an emergency, which may be that no new root is
// needed. Which way that is one table decides (ways.go), and the rest only asks and
// shows.
package interview

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// maxAsked is how many holders an interview takes. A plan that is written by
// hand may have more.
const maxAsked = 40

// maxAskedRecipients is how many recipients beside the holders it takes.
const maxAskedRecipients = 20

// interview is a plan while it is being asked for.
type interview struct {
	ctx  context.Context
	a    prompt.Room
	path string   // of the plan's folder
	dir  *os.Root // that folder; nil while it is not there
	now  time.Time
	plan plan.Plan
	out  Outcome

	chain   *plan.TrustedChain       // Rotate, Revoke: what the next root follows
	earlier []*plan.Ceremony         // ceremonies that know its keys
	known   map[string]agreed.Holder // what they know, by key id
	missing []string                 // checkpoints of those that are not at hand

	taken map[string]tuf.Key // key files that are to be in the plan's folder, by name
	gaps  []string           // those of them whose keys are still to be made
}

// Outcome is what an interview has come to.
type Outcome struct {
	// Files are to be written in the plan's folder, where there are none of
	// their names. Without a PlanFile no root has to be made, or none can yet,
	// and After says what is to be done instead.
	Files map[string][]byte
	After prompt.Message // what people do now
}

// Hold asks for a plan. Its text has comments, and plan.Read accepts it in
// dir, where the key files are already; for a root that follows another there need
// be no dir yet. What is not asked has its default and can be changed in the text.
// Errors of the prompt.Room (ErrBack, ErrLeft) are returned as they are.
func Hold(ctx context.Context, a prompt.Room, dir, kind string, now time.Time) (*Outcome, error) {
	iv := &interview{ctx: ctx, a: a, path: dir, now: now, plan: plan.Plan{Salt: plan.NewSalt(), Kind: kind, Roles: map[string]plan.RolePlan{}}, known: map[string]agreed.Holder{}, taken: map[string]tuf.Key{}}
	iv.out.Files = map[string][]byte{}
	kinds := map[string]func() error{agreed.Create: iv.create, agreed.Rotate: iv.rotate, agreed.Revoke: iv.revoke}
	if kinds[kind] == nil {
		return nil, fmt.Errorf("kind %q is none of %s, %s, %s", kind, agreed.Create, agreed.Rotate, agreed.Revoke)
	}
	err := iv.openFolder()
	if errors.Is(err, fs.ErrNotExist) && kind != agreed.Create { // it may need no key files: Write makes it
		err = nil
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if iv.dir != nil {
			_ = iv.dir.Close()
		}
	}()
	if err := kinds[kind](); err != nil && !errors.Is(err, errKept) {
		return nil, err
	}
	return &iv.out, nil
}

// openFolder opens the plan's folder, if it is not open.
func (iv *interview) openFolder() error {
	if iv.dir != nil {
		return nil
	}
	root, err := os.OpenRoot(iv.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the plan's folder %s: %w (hint: make it, and put the public keys of the online roles into it, for instance as keys/timestamp.pub)", iv.path, fs.ErrNotExist)
	}
	if err != nil {
		return fmt.Errorf("folder of the plan: %w", err)
	}
	iv.dir = root
	return nil
}

// Write writes the files into dir, and makes it where it is not there. No file
// is ever replaced.
func (i *Outcome) Write(dir string) error {
	for _, name := range slices.Sorted(maps.Keys(i.Files)) {
		if err := disk.WriteNew(filepath.Join(dir, name), i.Files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// create asks for the plan of a first root.
func (iv *interview) create() error {
	if err := iv.ask(); err != nil {
		return err
	}
	_, err := iv.finish()
	return err
}

// planFile is the plan, as people name it in commands.
func (iv *interview) planFile() string { return filepath.Join(iv.path, state.PlanFile) }

// DraftFile is what was typed, where it makes no plan yet.
const DraftFile = "plan.draft.toml"

// errKept ends an interview whose plan breaks a rule, with what was typed in a
// DraftFile.
var errKept = errors.New("no plan yet")

// finish puts the plan with what the interview has come to, or what was typed
// where it makes no plan.
func (iv *interview) finish() (*agreed.Plan, error) {
	r, err := iv.makePlan()
	if err == nil || errors.Is(err, prompt.ErrBack) || errors.Is(err, prompt.ErrLeft) || iv.ctx.Err() != nil {
		return r, err
	}
	name := DraftFile
	for n := 2; iv.exists(name); n++ {
		name = fmt.Sprintf("plan.draft-%d.toml", n)
	}
	file := filepath.Join(iv.path, name)
	iv.out.Files[name] = iv.toml()
	iv.out.After = prompt.Message{Title: "There is no plan yet", Facts: []prompt.Fact{{Label: "What was typed", Value: file}},
		Text:     []string{"What was typed makes no plan: " + err.Error() + ".", "Nothing that was typed is lost. Change it in that file until this command finds it right, and then rename the file to " + state.PlanFile + ":"},
		Commands: []string{agreed.Command("check", file)}}
	return nil, errKept
}

// makePlan holds the plan to the rules of all plans.
func (iv *interview) makePlan() (*agreed.Plan, error) {
	p, err := iv.read()
	if err != nil {
		return nil, err
	}
	r, err := p.ResolveAnySize(iv.now)
	if err != nil {
		return nil, err
	}
	fresh := slices.ContainsFunc(p.Holders, func(h agreed.Holder) bool { return h.Custody != agreed.Existing })
	if b := r.Budget(); b.Refused && fresh {
		if err := iv.otherAlgorithm(b); err != nil {
			return nil, err
		}
		if p, err = iv.read(); err != nil {
			return nil, err
		}
	}
	if r, err = p.Resolve(iv.now); err != nil {
		return nil, err
	}
	if warnings := r.RoleWarnings(); len(warnings) > 0 {
		m := prompt.Message{Title: "Whose keys the roles have"}
		for _, warning := range warnings {
			m.Text = append(m.Text, capital(warning)+".")
		}
		m.Text = append(m.Text, "The plan is written all the same. To change that, change the keys of the role in "+iv.planFile()+" before the plan is agreed.")
		if err := iv.a.Tell(iv.ctx, m); err != nil {
			return nil, err
		}
	}
	iv.out.Files[state.PlanFile] = p.Data
	iv.out.After = prompt.Message{Title: "The plan is written", Facts: []prompt.Fact{{Label: "File", Value: iv.planFile()}},
		Text:     append(iv.gapText(), "Have everybody read it before the day."),
		Commands: []string{agreed.Command("check", iv.planFile()), p.RehearseCommand()}}
	if p.Real() == nil {
		iv.out.After.Commands = append(iv.out.After.Commands, agreed.Command("run", iv.path))
	}
	return r, nil
}

// read reads the plan as plan.Read will.
func (iv *interview) read() (*plan.Plan, error) {
	p, err := plan.DecodePlan(iv.toml(), iv.planFile())
	if err != nil {
		return nil, err
	}
	p.ReadKeys(iv.readKey)
	if p.Follows() {
		p.ReadTrusted()
	}
	p.Judge()
	return p, p.Err()
}

func (iv *interview) ask() error {
	p := &iv.plan
	p.Root.ConsistentSnapshot = true
	if p.Name == "" {
		if err := iv.text("plan.name", &p.Name, "What is the project's name?", "", checkName); err != nil {
			return err
		}
	}
	count := 0
	if err := iv.number("plan.holders", &count, "How many people hold a root key?", 1, maxAsked); err != nil {
		return err
	}
	for i := range count {
		if err := iv.holder(i + 1); err != nil {
			return err
		}
	}
	if err := iv.number("plan.threshold", &p.Root.Threshold, fmt.Sprintf("How many of the %d must sign a root?", count), 1, count); err != nil {
		return err
	}
	if err := iv.backup(); err != nil {
		return err
	}
	if err := iv.expires(); err != nil {
		return err
	}
	if err := iv.touch(); err != nil {
		return err
	}
	for _, role := range agreed.OnlineRoles {
		if err := iv.role(role); err != nil {
			return err
		}
	}
	return iv.witness()
}

// usualExpiry is the expiry of a root where people do not say another.
const usualExpiry = "365d"

func (iv *interview) expires() error {
	iv.plan.Root.Expires = usualExpiry
	return iv.text("plan.expires", &iv.plan.Root.Expires, "When does the root expire? A time such as 2027-11-22T00:00:00Z, or days from the day of the ceremony", usualExpiry, func(s string) error {
		at, err := agreed.Expiry(s, iv.now)
		if err != nil {
			return err
		}
		return agreed.CheckExpiry(at, iv.now)
	})
}

// touch asks how the tokens of new keys are touched.
func (iv *interview) touch() error {
	touch, err := iv.a.Choose(iv.ctx, prompt.Prompt{ID: "plan.touch", Question: "When must a token be touched?"}, []prompt.Choice{
		{Key: string(keys.TouchAlways), Label: "for every signature (recommended)"},
		{Key: string(keys.TouchCached), Label: "once in 15 seconds"},
	})
	iv.plan.Token = agreed.TokenPolicy{Algorithm: keys.Ed25519, Touch: keys.Touch(touch), MinFirmware: agreed.Firmware[keys.Ed25519].String()}
	return err
}

func (iv *interview) witness() error {
	witness := ""
	if err := iv.text("plan.witness", &witness, "Who is the witness, and keeps no key?", "nobody", checkName); err != nil {
		return err
	}
	if witness != "" {
		iv.plan.Persons = []agreed.Person{{Name: witness, Role: "witness"}}
	}
	return nil
}

// text asks for a line. An empty one leaves what is there, where enter says
// what that means.
func (iv *interview) text(id string, into *string, question, enter string, check func(string) error) error {
	return iv.prompt(prompt.Prompt{ID: id, Enter: enter, Question: question}, into, check)
}

// prompt is text with more to read before the question.
func (iv *interview) prompt(p prompt.Prompt, into *string, check func(string) error) error {
	enter := p.Enter
	if enter != "" {
		p.Question += " (Enter: " + enter + ")"
	}
	answer, err := iv.a.Ask(iv.ctx, p, func(s string) error {
		if s = strings.TrimSpace(s); enter != "" && (s == "" || s == enter) {
			return nil
		}
		return check(s)
	})
	if err != nil {
		return err
	}
	if answer = strings.TrimSpace(answer); answer != "" && answer != enter {
		*into = answer
	}
	return nil
}

// checkName and checkSticker are those of agreed, whose errors follow the word for
// what is wrong.
func checkName(s string) error    { return ofAnswer(agreed.CheckName(s)) }
func checkSticker(s string) error { return ofAnswer(agreed.CheckSticker(s)) }

func ofAnswer(err error) error {
	if err != nil {
		err = fmt.Errorf("the answer %w", err)
	}
	return err
}

func (iv *interview) number(id string, into *int, question string, least, most int) error {
	if least == most {
		*into = least
		return nil
	}
	text := ""
	err := iv.text(id, &text, question, "", func(s string) error {
		return numberFrom(s, least, most)
	})
	if err != nil {
		return err
	}
	*into, err = strconv.Atoi(text)
	return err
}

func numberFrom(s string, least, most int) error {
	if n, err := strconv.Atoi(s); err != nil || n < least || n > most {
		return fmt.Errorf("%q is not a number from %d to %d", s, least, most)
	}
	return nil
}

// holder asks about the n-th holder, from 1, who gets a new key.
func (iv *interview) holder(n int) error { return iv.holderNamed(n, "") }

// holderNamed is holder for somebody whose name is known; "": it is asked.
func (iv *interview) holderNamed(n int, name string) error {
	h := agreed.Holder{Name: name}
	others := iv.plan.Holders
	fresh := func(check func(string) error, of func(agreed.Holder) string) func(string) error {
		return func(s string) error {
			if err := check(s); err != nil {
				return err
			}
			if i := slices.IndexFunc(others, func(o agreed.Holder) bool { return agreed.Fold(of(o)) == agreed.Fold(s) }); i >= 0 {
				return fmt.Errorf("%q is taken by holder %d, %s", s, i+1, others[i].Name)
			}
			return nil
		}
	}
	id := func(suffix string) string { return fmt.Sprintf("plan.holder.%s %d", suffix, n) }

	checkNew := fresh(checkName, func(o agreed.Holder) string { return o.Name })
	if name == "" || checkNew(name) != nil {
		if err := iv.text(id("name"), &h.Name, fmt.Sprintf("Holder %d: name?", n), "", checkNew); err != nil {
			return err
		}
	}
	checkFree := fresh(agreed.CheckID, func(o agreed.Holder) string { return o.ID })
	first, _, _ := strings.Cut(h.Name, " ")
	for _, made := range []string{agreed.Slug(first), agreed.Slug(h.Name)} {
		if h.ID == "" && checkFree(made) == nil {
			h.ID = made
		}
	}
	if h.ID == "" {
		err := iv.text(id("id"), &h.ID, fmt.Sprintf("%s: a short name for files, of a-z, 0-9 and -?", h.Name), "", checkFree)
		if err != nil {
			return err
		}
	}
	err := iv.text(id("token"), &h.Token, fmt.Sprintf("%s: what is on the token's sticker, as in A-01?", h.Name), "", fresh(checkSticker, func(o agreed.Holder) string { return o.Token }))
	if err != nil {
		return err
	}
	err = iv.text(id("site"), &h.Site, fmt.Sprintf("%s: in which place is the token kept?", h.Name), "not said", checkName)
	if err != nil {
		return err
	}
	h.Custody = agreed.OnToken
	iv.plan.Holders = append(iv.plan.Holders, h)
	return nil
}

// backup asks whether there are backups, and who opens them. With backups all
// keys are backed up; other custody is for those who write it by hand.
func (iv *interview) backup() error {
	p := &iv.plan
	yes, err := iv.a.Confirm(iv.ctx, prompt.Prompt{
		ID: "plan.backup",
		Message: prompt.Message{Title: "Backups", Text: []string{
			"With backups a lost token or a forgotten PIN can be made good: some people open a backup together. Without, the loss of a token is the loss of its key.",
			"No holder can open their own backup.",
		}},
		Question: "Are there backups? (recommended)",
	})
	if err != nil || !yes {
		return err
	}
	for i := range p.Holders {
		if p.Holders[i].Custody != agreed.Existing { // a key that stays is where it is
			p.Holders[i].Custody = agreed.BackedUp
		}
	}
	p.Backup.Recipients = []string{agreed.EveryHolder}
	// The others must be enough for a quorum that is not below the threshold.
	count, least := 0, max(0, p.Root.Threshold-len(p.Holders)+1)
	err = iv.number("plan.recipients", &count, "Every other holder's token opens a holder's backup. Who else does, such as a safe: how many more recipients?", least, maxAskedRecipients)
	if err != nil {
		return err
	}
	for i := range count {
		if err := iv.recipient(i + 1); err != nil {
			return err
		}
	}
	return iv.quorum()
}

// quorum asks how many recipients open a backup together.
func (iv *interview) quorum() error {
	p := &iv.plan
	with := func(quorum int) *agreed.Plan {
		p.Backup.Quorum = quorum
		return &agreed.Plan{Threshold: p.Root.Threshold, Holders: p.Holders, Backup: p.AgreedBackup()}
	}
	most := with(1).Openers()
	if p.Root.Threshold == most {
		return with(most).CheckQuorum()
	}
	text := ""
	question := fmt.Sprintf("How many of the %d recipients of a backup must open it together?", most)
	err := iv.text("plan.quorum", &text, question, "", func(s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > most {
			return fmt.Errorf("%q is not a number from 1 to %d", s, most)
		}
		return with(n).CheckQuorum()
	})
	if err != nil {
		return err
	}
	p.Backup.Quorum, err = strconv.Atoi(text)
	return err
}

// recipient asks about the n-th recipient who is no holder, from 1.
func (iv *interview) recipient(n int) error {
	var r plan.Recipient
	p := &iv.plan
	id := func(suffix string) string { return fmt.Sprintf("plan.recipient.%s %d", suffix, n) }
	free := func(s string, ofHolder func(agreed.Holder) string, of func(plan.Recipient) string) error {
		if slices.ContainsFunc(p.Holders, func(h agreed.Holder) bool { return agreed.Fold(ofHolder(h)) == agreed.Fold(s) }) {
			return fmt.Errorf("%q is a holder: every holder is a recipient already", s)
		}
		if i := slices.IndexFunc(p.Recipients, func(o plan.Recipient) bool { return agreed.Fold(of(o)) == agreed.Fold(s) }); i >= 0 {
			return fmt.Errorf("%q is taken by recipient %d, %s", s, i+1, p.Recipients[i].Name)
		}
		return nil
	}
	err := iv.text(id("name"), &r.Name, fmt.Sprintf("Recipient %d: name, as in Bank safe?", n), "", func(s string) error {
		if agreed.Fold(s) == agreed.EveryHolder {
			return fmt.Errorf("%q would mean the holders", s)
		}
		return cmp.Or(checkName(s), free(s, func(h agreed.Holder) string { return h.Name }, func(o plan.Recipient) string { return o.Name }))
	})
	if err != nil {
		return err
	}
	checkFree := func(s string) error {
		return cmp.Or(agreed.CheckID(s), free(s, func(h agreed.Holder) string { return h.ID }, func(o plan.Recipient) string { return o.ID }))
	}
	if r.ID = agreed.Slug(r.Name); checkFree(r.ID) != nil {
		if err := iv.text(id("id"), &r.ID, fmt.Sprintf("%s: a short name for files, of a-z, 0-9 and -?", r.Name), "", checkFree); err != nil {
			return err
		}
	}
	const passphrase = "a passphrase, typed when backups are made"
	err = iv.text(id("age"), &r.Age, fmt.Sprintf("%s: age recipient, as in age1...?", r.Name), passphrase, func(s string) error {
		parsed, err := agreed.ParseAge(r.Name, s)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(p.Recipients, func(o plan.Recipient) bool { return o.Age == parsed.Text }); i >= 0 {
			return fmt.Errorf("this is the recipient of %s: one identity would count as two", p.Recipients[i].Name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if r.Passphrase = r.Age == ""; !r.Passphrase {
		parsed, err := agreed.ParseAge(r.Name, r.Age)
		if err != nil {
			return err
		}
		r.Age = parsed.Text
	}
	err = iv.text(id("site"), &r.Site, fmt.Sprintf("%s: in which place is it kept?", r.Name), "not said", checkName)
	if err != nil {
		return err
	}
	p.Recipients = append(p.Recipients, r)
	p.Backup.Recipients = append(p.Backup.Recipients, r.Name)
	return nil
}

// role asks for the key files of an online role, and for its threshold where
// it has several. Those of snapshot can be those of timestamp; those of targets,
// which say what software is, are always named.
func (iv *interview) role(name string) error {
	p := prompt.Prompt{ID: "plan.role." + name, Message: iv.keyMessage(name), Question: fmt.Sprintf("Role %s: file of its public key, or several with commas?", name)}
	var role plan.RolePlan
	switch name {
	case tuf.RoleSnapshot:
		role, p.Enter = iv.plan.Roles[tuf.RoleTimestamp], "as for timestamp"
	case tuf.RoleTargets:
		p.Text = append([]string{"The keys of targets say which files are good. If timestamp or snapshot has the same key, one theft is enough to deliver any software: give targets a key of its own, away from the machine that signs the other two."}, p.Text...)
	}
	line := ""
	if err := iv.prompt(p, &line, iv.checkFiles); err != nil {
		return err
	}
	if line == "" {
		iv.plan.Roles[name] = role
		return nil
	}
	return iv.roleOf(name, splitFiles(line))
}

// checkFiles refuses what are no key files of one role, with commas.
func (iv *interview) checkFiles(s string) error {
	if s == "" {
		return errors.New("the answer is empty")
	}
	seen := map[keys.PublicKey]string{}
	for _, file := range splitFiles(s) {
		if file == "" {
			return fmt.Errorf("the answer %q has a comma too many", s)
		}
		if file == keyLater && s != keyLater {
			return fmt.Errorf("%q stands alone, for all the keys of the role", keyLater)
		}
		key, err := iv.readKey(file)
		if err != nil {
			return err
		}
		if first := seen[key.Public]; first != "" {
			return fmt.Errorf("key file %q holds the same key as %q", file, first)
		}
		seen[key.Public] = file
	}
	return nil
}

// roleOf gives a role these key files. Where there are several, it asks for the
// threshold.
func (iv *interview) roleOf(name string, files []string) error {
	for i, file := range files {
		var err error
		if files[i], err = iv.takeKey(name, file); err != nil {
			return err
		}
	}
	role := plan.RolePlan{Threshold: 1, Files: files}
	question := fmt.Sprintf("Role %s: how many of the %d keys must sign?", name, len(files))
	err := iv.number("plan.role."+name+".threshold", &role.Threshold, question, 1, len(files))
	iv.plan.Roles[name] = role
	return err
}

func splitFiles(s string) []string {
	files := strings.Split(s, ",")
	for i := range files {
		files[i] = strings.TrimSpace(files[i])
	}
	return files
}

// otherAlgorithm offers tokens that sign a digest, where the root is too large
// for those that sign the whole of it.
func (iv *interview) otherAlgorithm(b agreed.Budget) error {
	yes, err := iv.a.Confirm(iv.ctx, prompt.Prompt{
		ID:       "plan.ecdsa",
		Message:  prompt.Message{Title: "The root is too large", Text: []string{b.Text()}},
		Question: "Use ecdsa-p256 keys on the tokens instead?",
	})
	if err != nil {
		return err
	}
	if !yes {
		return errors.New(b.Text())
	}
	iv.plan.Token.Algorithm = keys.P256
	iv.plan.Token.MinFirmware = agreed.Firmware[keys.P256].String()
	return nil
}

// toml writes the plan as a file for people to review.
func (iv *interview) toml() []byte {
	return append([]byte("# The plan of a root ceremony. Review it before the day; `rootceremony check`\n# says what it means.\n\n"), iv.plan.TOML(iv.comments())...)
}

// comments are what the settings of the plan mean, by their paths.
func (iv *interview) comments() map[string]string {
	p := &iv.plan
	c := map[string]string{
		"salt":            "random: keep it, as the digest comes of it",
		"incident":        "what the notice for users says has happened",
		"compromised":     "online roles whose keys others may have",
		"trusted":         "the published roots that the next one follows",
		"earlier":         "ceremonies that know names and backups",
		"root.threshold":  iv.thresholdComment(),
		"root.expires":    "days count from when the plan is agreed",
		"token.algorithm": "ed25519, ecdsa-p256",
		"token.touch":     "always, cached",
	}
	switch {
	case p.Backup.Quorum > 0:
		c["backup.quorum"] = "recipients who must act together"
	case p.Token.Algorithm != "": // of new keys
		c["backup.quorum"] = "no backups"
	}
	for i := range p.Recipients {
		at := agreed.Element("recipient", i)
		c[at+".id"], c[at+".passphrase"] = "in file names", "typed when backups are made"
	}
	for i, h := range p.Holders {
		at := agreed.Element("holder", i)
		c[at+".id"], c[at+".token"], c[at+".custody"] = "in file names", "the sticker on the token", custodyComments[h.Custody]
	}
	for i, d := range p.Drops {
		at := agreed.Element("drop", i)
		c[at+".reason"], c[at+".name"], c[at+".token"] = dropComments[d.Reason], "whose it was", "the sticker on the token"
	}
	for i := range p.Persons {
		c[agreed.Element("person", i)+".role"] = "administrator, witness, scribe"
	}
	if p.Follows() && len(p.Roles) < len(agreed.OnlineRoles) {
		c["role"] = "An online role that has no table here stays as it is."
	}
	for name, role := range p.Roles {
		if slices.ContainsFunc(role.Files, func(file string) bool { return slices.Contains(iv.gaps, file) }) {
			c["role."+name+".keys"] = "still to be made, and put there"
		}
	}
	return c
}

// custodyComments say in a plan.toml what the kinds of custody mean.
var custodyComments = map[string]string{
	agreed.OnToken:  "the key never leaves the token",
	agreed.BackedUp: "or on-token: the key never leaves the token",
	agreed.Existing: "the key stays as it is",
}
