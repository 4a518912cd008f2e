package rehearsal

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/keys"
)

// AnswersFile is where a rehearsal keeps what its script answers, a line
// "prompt id = answer" each, where tokens have PINs from before.
const AnswersFile = "rehearsal/answers.txt"

// Finished looks at a rehearsal that is to be followed on. Only one that has
// published on tokens of that kind (session.Backend) can be.
func Finished(dir, tokens string) (*plan.Ceremony, error) {
	c, err := plan.ReadCeremony(dir)
	if err != nil {
		return nil, fmt.Errorf("nothing can follow on it: %w", err)
	}
	switch s := c.State; {
	case s.Begun == nil:
		return nil, fmt.Errorf("%s: no ceremony has begun in it (hint: %s holds one)", dir, agreed.Command("rehearse", dir))
	case !s.Begun.Rehearsal:
		return nil, fmt.Errorf("%s is a real ceremony, whose tokens no rehearsal uses (hint: %s writes the plan of a rotation, and %s rehearses it)", dir, agreed.Command("plan", "--kind", agreed.Rotate, "DIR"), agreed.Command("rehearse", "--stand-in", "DIR/"+state.PlanFile))
	case s.Begun.Enrols != "":
		return nil, fmt.Errorf("%s is an enrolment: nothing is published in it (hint: name the directory of the rehearsal that has collected it)", dir)
	case s.Closed == nil:
		return nil, fmt.Errorf("%s is not finished (hint: %s goes on with it)", dir, agreed.Command("rehearse", dir))
	case s.Begun.Tokens != tokens:
		return nil, fmt.Errorf("%s was held on tokens of the kind %q, and its keys are on those (hint: --tokens %s)", dir, s.Begun.Tokens, s.Begun.Tokens)
	}
	return c, nil
}

// ReadPlanAfter reads a plan as plan.Read does, but for the trusted chain: that
// is the one this ceremony has published, whatever the plan's trusted says.
func ReadPlanAfter(c *plan.Ceremony, file string) (*plan.Plan, error) {
	dir, err := filepath.Abs(filepath.Join(c.Dir, state.PublishDir))
	if err != nil {
		return nil, err
	}
	p, err := plan.ReadOn(file, dir)
	if err == nil && p.Chain == nil {
		err = fmt.Errorf("%s is followed by a rotation or a revocation, and %s is of the kind %q", c.Dir, file, p.Kind)
	}
	return p, err
}

// PlanAfter is the plan of a rotation of what this ceremony has published: the
// last holder leaves, and another comes, who then stands first, so that one
// rotation after the other replaces all of them. stickers are of tokens that
// the newcomer's cannot have.
func PlanAfter(c *plan.Ceremony, stickers []string) (*plan.Plan, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, err
	}
	read := func(policy agreed.TokenPolicy) (*plan.Plan, error) {
		p, err := plan.DecodePlan(textAfter(c, dir, stickers, policy), state.PlanFile)
		if err != nil {
			return nil, err
		}
		p.Trusted = filepath.Join(dir, state.PublishDir)
		p.ReadTrusted()
		p.Judge()
		return p, p.Err()
	}
	policy := c.State.Plan.Token
	p, err := read(policy)
	if err != nil || policy.Algorithm != keys.Ed25519 {
		return p, err
	}
	// Who comes needs another kind of token where the root is too large for one.
	if r, err := p.ResolveAnySize(c.Time); err != nil || !r.Budget().Refused {
		return p, err
	}
	return read(agreed.TokenPolicy{Algorithm: keys.P256, Touch: policy.Touch, MinFirmware: agreed.Firmware[keys.P256].String()})
}

// textAfter is the text of PlanAfter. dir is the whole path of this ceremony.
func textAfter(c *plan.Ceremony, dir string, stickers []string, policy agreed.TokenPolicy) []byte {
	s, r := c.State, c.State.Plan
	p := plan.Plan{Kind: agreed.Rotate, Name: r.Name, Trusted: agreed.TrustedDir, Earlier: []string{dir},
		Root: plan.RootPlan{Expires: "365d"}, Token: policy, Persons: r.Persons}
	came := Newcomer(r, stickers)
	came.Custody = agreed.OnToken
	if r.Backup != nil {
		came.Custody = agreed.BackedUp
		p.Backup.Quorum = r.Backup.Quorum
		if r.Backup.Holders {
			p.Backup.Recipients = append(p.Backup.Recipients, agreed.EveryHolder)
		}
		for _, to := range r.Backup.Recipients {
			p.Backup.Recipients = append(p.Backup.Recipients, to.Name)
			p.Recipients = append(p.Recipients, plan.Recipient{ID: to.ID, Name: to.Name, Age: to.Age, Passphrase: to.Passphrase, Site: to.Site})
		}
	}
	p.Holders = append(p.Holders, came)
	last := len(r.Holders) - 1
	for _, h := range r.Holders[:last] {
		token := s.Holders[h.ID].Holder.Token // it may have been replaced
		p.Holders = append(p.Holders, agreed.Holder{ID: h.ID, Name: h.Name, Token: token, Site: h.Site, Custody: agreed.Existing, KeyID: s.KeyID(s.Holders[h.ID])})
	}
	left := s.Holders[r.Holders[last].ID]
	p.Drops = append(p.Drops, agreed.Drop{KeyID: s.KeyID(left), Reason: agreed.Retired, Name: left.Holder.Name, Token: left.Holder.Token})
	return append([]byte("# A rehearsal of a rotation: the last holder leaves, and another comes.\n\n"), p.TOML(nil)...)
}

// newcomers are who comes to rehearsals, after the five of the example.
var newcomers = []string{"Farah Aziz", "Goran Ilic", "Hana Sato", "Ivo Petrov", "Jaya Rao", "Kofi Mensah", "Lena Vogel", "Mateo Rojas", "Nadia Haddad", "Omar Diallo",
	"Priya Nair", "Quinn Doyle", "Rosa Lima", "Sven Dahl", "Tala Reyes", "Uma Joshi", "Viktor Hale", "Wen Zhou", "Ximena Paz", "Yusuf Kaya", "Zoe Brandt"}

// Newcomer is a holder whose name, id and sticker nobody has.
func Newcomer(r *agreed.Plan, stickers []string) agreed.Holder {
	taken := map[string]bool{}
	for _, sticker := range stickers {
		taken["token "+agreed.Fold(sticker)] = true
	}
	for _, h := range r.Holders {
		taken["name "+agreed.Fold(h.Name)], taken["id "+h.ID], taken["token "+agreed.Fold(h.Token)] = true, true, true
	}
	for _, d := range r.Drops {
		taken["name "+agreed.Fold(d.Name)], taken["token "+agreed.Fold(d.Token)] = true, true
	}
	for _, p := range r.Persons {
		taken["name "+agreed.Fold(p.Name)] = true
	}
	if r.Backup != nil {
		for _, b := range r.Backup.Recipients {
			taken["name "+agreed.Fold(b.Name)], taken["id "+b.ID] = true, true
		}
	}
	for i := 0; ; i++ {
		n := i + 6 // as the example has five
		h := agreed.Holder{Name: fmt.Sprintf("Holder %d", n), ID: fmt.Sprintf("holder-%d", n), Token: fmt.Sprintf("T-%02d", n)}
		if i < len(newcomers) {
			first, _, _ := strings.Cut(newcomers[i], " ")
			h = agreed.Holder{Name: newcomers[i], ID: agreed.Slug(first), Token: fmt.Sprintf("%c-%02d", first[0], n)}
		}
		if !taken["name "+agreed.Fold(h.Name)] && !taken["id "+h.ID] && !taken["token "+agreed.Fold(h.Token)] {
			return h
		}
	}
}

// SignersAfter are the ids of the holders here in the plan of a rehearsal that
// follows on this one, by their ids here: also of those whose keys it drops.
func SignersAfter(c *plan.Ceremony, p *plan.Plan) map[string]string {
	there := map[string]string{} // by key id
	for _, h := range p.Holders {
		if h.Custody == agreed.Existing {
			there[h.KeyID] = h.ID
		}
	}
	for _, drop := range p.Drops {
		there[drop.KeyID] = drop.ID
	}
	ids := map[string]string{}
	for _, h := range c.State.Plan.Holders {
		if id := there[c.State.KeyID(c.State.Holders[h.ID])]; id != "" {
			ids[h.ID] = id
		}
	}
	return ids
}

// AnswersAfter is what the script of a rehearsal with that plan answers: tokens
// keep the PINs that scripted holders have chosen here, also where their
// holders have other ids there. laid are the answers that this rehearsal has
// from before.
func AnswersAfter(c *plan.Ceremony, p *plan.Plan, laid map[string]string) map[string]string {
	answers := map[string]string{}
	for was, is := range SignersAfter(c, p) {
		pin, isLaid := laid["holder.pin "+was]
		if !isLaid {
			pin = prompt.RehearsalPIN(was)
		}
		if pin == prompt.RehearsalPIN(is) {
			continue
		}
		for _, asked := range []string{"holder.pin ", "holder.pin.new ", "holder.pin.again "} {
			answers[asked+is] = pin
		}
	}
	return answers
}

// AnswersText writes answers as an answers file.
func AnswersText(answers map[string]string) []byte {
	text := []byte("# What the script of this rehearsal answers: PINs that tokens have from before.\n")
	for _, id := range slices.Sorted(maps.Keys(answers)) {
		text = fmt.Appendf(text, "%s = %s\n", id, answers[id])
	}
	return text
}
