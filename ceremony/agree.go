package ceremony

import (
	"context"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/laptop"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/record"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// preflight looks at the laptop. In a rehearsal what it finds is noted; on the
// day a failure is mended, or waived as an exception, but for an environment that
// leads PINs elsewhere.
func (d *Desk) preflight(ctx context.Context, a prompt.Room) error {
	for {
		start := d.tokens.Start
		if d.tokens.Plug != nil { // virtual
			start = nil
		}
		findings := laptop.Preflight(ctx, d.dir, d.clock(), d.State().Begun.Rehearsal, start)
		findings = append(findings, laptop.Itself(d.logs)...)
		if err := a.Tell(ctx, prompt.Message{Title: "Check the laptop", Facts: findingFacts(findings)}); err != nil {
			return err
		}
		failures := failed(findings)
		if len(failures) == 0 || d.State().Begun.Rehearsal {
			return d.preflightDone(findings)
		}
		// This process keeps the environment that it was started in: to look again,
		// or to waive, changes nothing of what it does with PINs.
		if err := laptop.SafeEnvironment(); err != nil {
			return err
		}
		answer, err := a.Choose(ctx, prompt.Prompt{ID: "preflight.failed", Message: prompt.Message{Title: "Check the laptop",
			Text: []string{fmt.Sprintf("%d of the checks failed. Mend what can be mended. What is waived goes into the record as an exception.", len(failures))}},
			Question: "What now?"},
			[]prompt.Choice{{Key: "again", Label: "It is mended: look again"}, {Key: "waive", Label: "Go on all the same, as an exception"}})
		if err != nil {
			return err
		}
		if answer == "again" {
			continue
		}
		why, err := a.Ask(ctx, prompt.Prompt{ID: "preflight.why", Message: prompt.Message{Title: "Check the laptop"}, Question: "Why is it safe to go on?"}, notEmpty)
		if err != nil {
			return err
		}
		for _, f := range failures {
			expected := "a laptop that passes the check " + f.ID
			err := d.exception(state.Account{Expected: expected, Happened: "it doesn't", Decided: "waived"},
				state.Account{Expected: expected, Happened: f.Text, Decided: "waived: " + why})
			if err != nil {
				return err
			}
		}
		return d.preflightDone(findings)
	}
}

func (d *Desk) preflightDone(findings []state.Finding) error {
	if d.State().Begun.Rehearsal {
		for _, f := range findings {
			if f.Level == state.LevelOK {
				continue
			}
			if err := d.Note("preflight: "+f.Text, true); err != nil {
				return err
			}
		}
	}
	return d.record(state.TypePreflight, "room", state.PreflightDone{Failed: state.FailedChecks(findings), Private: state.PreflightFound{Findings: findings}})
}

func findingFacts(findings []state.Finding) []prompt.Fact {
	var facts []prompt.Fact
	for _, f := range findings {
		text := f.Text
		if f.Advice != "" {
			text += " (hint: " + f.Advice + ")"
		}
		facts = append(facts, prompt.Fact{Label: fmt.Sprintf("%-4s %s", f.Level, f.ID), Value: text})
	}
	return facts
}

// FindingLines says the findings to people.
func FindingLines(findings []state.Finding) []string {
	var lines []string
	for _, f := range findings {
		lines = append(lines, f.Line())
	}
	return lines
}

func failed(findings []state.Finding) []state.Finding {
	var failures []state.Finding
	for _, f := range findings {
		if f.Level == state.LevelFail {
			failures = append(failures, f)
		}
	}
	return failures
}

// agree resolves the plan and has the room confirm its digest. From then on
// only the log decides what is made.
func (d *Desk) agree(ctx context.Context, a prompt.Room) error {
	resolved, chain, err := d.planToAgree()
	if err != nil {
		return err
	}
	check := agreed.Check(resolved, d.clock())
	check.Warnings = append(check.Warnings, MissingPlugins(resolved)...)
	if err := a.Tell(ctx, prompt.Message{Title: "The plan", Lines: check.Lines()}); err != nil {
		return err
	}
	anchor, err := d.anchorOf(ctx, a, resolved, chain)
	if err != nil {
		return err
	}
	digest := resolved.Digest()
	compare := "One person reads the digest aloud, the others compare it with the one that was announced."
	if d.enrols != nil {
		compare = "Compare it with the one that was announced, on a way of its own: the room agrees the same one."
	} else if resolved.Rehearsal {
		compare = "One person reads the digest aloud. (A rehearsal's is its own: the plan says in it that this is one.)"
	}
	err = a.Type(ctx, prompt.Prompt{ID: "plan.digest", Final: true, Message: prompt.Message{
		Title: "Agree the plan",
		Facts: []prompt.Fact{{Label: "Digest", Value: agreed.Grouped(digest)}},
		Text:  []string{compare + " From now on nothing but this plan decides what is made."}},
		Question: "To agree, type the first 8 characters of the digest:"}, digest[:8])
	if err != nil {
		return err
	}
	for i, text := range chain { // which the log alone cannot make again
		if err := d.write(state.Written{Name: agreed.TrustedFile(resolved.Trusted.Versions[i].Version), Text: text}); err != nil {
			return err
		}
	}
	if err := d.record(state.TypePlanAgreed, "room", state.PlanAgreed{Digest: digest, Plan: resolved.JSON(), Private: resolved.PrivateJSON(), Anchor: anchor}); err != nil {
		return err
	}
	for _, file := range planFiles(d.State().Plan) {
		if err := d.write(file); err != nil {
			return err
		}
	}
	if d.enrols != nil {
		return nil
	}
	plan := d.planWords("the paper, beside the name of the plan")
	plan.ID = paperPlan
	return a.Tell(ctx, prompt.Message{Title: "The plan is agreed", Write: []prompt.Written{plan},
		Text: []string{"Keep the paper with you. At each start its words show that this is still the same directory."}})
}

// planFiles are the agreed plan as it lies in the directory.
func planFiles(plan *agreed.Plan) []state.Written {
	files := []state.Written{{Name: state.ResolvedFile, Text: plan.JSON()}}
	if !plan.Unseen {
		files = append(files, state.Written{Name: state.PrivatePlanFile, Text: plan.PrivateJSON()})
	}
	return files
}

// anchorOf has people say that the first root of the chain is their project's
// own: everything else follows from it. chain are the files that are here.
func (d *Desk) anchorOf(ctx context.Context, a prompt.Room, r *agreed.Plan, chain [][]byte) (state.Anchor, error) {
	if r.Trusted == nil {
		return "", nil
	}
	first := r.Trusted.Versions[0]
	title := fmt.Sprintf("Is it your root v%d?", first.Version)
	text := []string{fmt.Sprintf("The chain was verified up to version %d. That its first root is your project's own, no signature can say: compare the SHA-256 of its file with one that did not come with these files, such as last ceremony's record or an installer.", r.Trusted.Newest().Version)}
	how, err := a.Choose(ctx, prompt.Prompt{ID: "trusted.how", Message: prompt.Message{Title: title, Text: text}, Question: "How do you know it?"},
		[]prompt.Choice{{Key: string(state.AnchorTyped), Label: "Type its SHA-256 from there"}, {Key: string(state.AnchorConfirmed), Label: "See it here, and compare"}})
	if err != nil {
		return "", err
	}
	if how == string(state.AnchorTyped) {
		_, err := a.Ask(ctx, prompt.Prompt{ID: "trusted.sha256", Final: true, Message: prompt.Message{Title: title,
			Text: []string{fmt.Sprintf("If yours is not taken, although you typed it as it stands there, the files in %s are not what you have there: stop, and find out why.", agreed.TrustedDir)}},
			Question: fmt.Sprintf("Type the SHA-256 of the file %d.root.json, the first 16 digits or all 64:", first.Version), Scripted: first.SHA256},
			func(typed string) error { return isAnchor(typed, first, append(chain, []byte(r.Trusted.Root))) })
		return state.AnchorTyped, err
	}
	which, words, err := twoWords(first.SHA256)
	if err != nil {
		return "", err
	}
	return state.AnchorConfirmed, a.Type(ctx, prompt.Prompt{ID: "trusted.words", Final: true, Message: prompt.Message{Title: title, Facts: DigestFacts(fmt.Sprintf("%s %d.root.json", ofFile, first.Version), first.SHA256),
		Text: []string{"Compare all of it. If anything differs, leave now: nothing is agreed."}},
		Question: "If it is the same, type " + which + ":"}, words)
}

// isAnchor reports whether a SHA-256 that was typed is that of the first root, and
// if not whether it is of what is signed in one of the files.
func isAnchor(typed string, first agreed.TrustedVersion, files [][]byte) error {
	typed = strings.ToLower(strings.Join(strings.Fields(typed), ""))
	if len(typed) != 16 && len(typed) != 64 {
		return fmt.Errorf("a SHA-256 has 64 digits: type the first 16, or all of them, and not %d", len(typed))
	}
	if strings.HasPrefix(first.SHA256, typed) {
		return nil
	}
	for _, text := range files {
		file, err := tuf.Parse(text)
		if err != nil {
			return err
		}
		if signed := file.Digest(); strings.HasPrefix(hex.EncodeToString(signed[:]), typed) {
			return fmt.Errorf("that is the SHA-256 of what is signed in %d.root.json, and not of the file (hint: the file's is what sha256sum shows, and what %s has)", file.Root.Version, record.WordsFile)
		}
	}
	return fmt.Errorf("that is not what lies in %s: the SHA-256 of the file %d.root.json is another one (hint: compare what you typed with what you have)", agreed.TrustedDir, first.Version)
}

// planToAgree is the plan in the directory, resolved, with the files of the
// trusted chain; or for an enrolment the resolved plan it was opened with, which
// has the newest of them.
func (d *Desk) planToAgree() (*agreed.Plan, [][]byte, error) {
	if d.enrols != nil {
		return d.enrols, nil, d.enrols.Holdable()
	}
	planned, err := plan.Read(filepath.Join(d.dir, state.PlanFile))
	if err != nil {
		return nil, nil, err
	}
	resolved, err := planned.Resolve(d.clock())
	if err != nil {
		return nil, nil, err
	}
	if err := resolved.Holdable(); err != nil {
		return nil, nil, err
	}
	resolved.Rehearsal = d.State().Begun.Rehearsal
	if planned.Chain == nil {
		return resolved, nil, nil
	}
	if err := planned.Real(); err != nil && !resolved.Rehearsal {
		return nil, nil, err
	}
	return resolved, planned.Chain.Files, nil
}

func notEmpty(s string) error {
	if strings.TrimSpace(s) == "" {
		return fmt.Errorf("a few words are needed here")
	}
	return nil
}

// tokenFacts shows a token as people recognise it.
func tokenFacts(info keys.Info, h agreed.Holder) []prompt.Fact {
	return []prompt.Fact{
		{Label: "Token", Value: info.FormFactor + ", firmware " + info.Firmware.String()},
		{Label: "Serial", Value: agreed.SerialText(info.Serial) + toCarry(h)},
	}
}

// HoleFacts say what is published about the keys of a token.
func HoleFacts(holes []keys.Advisory) []prompt.Fact {
	var facts []prompt.Fact
	for _, a := range holes {
		facts = append(facts, prompt.Fact{Label: "Known hole", Value: a.String()})
	}
	return facts
}

func toCarry(h agreed.Holder) string {
	if h.Token == "" {
		return ""
	}
	return "   (to carry the sticker " + h.Token + ")"
}
