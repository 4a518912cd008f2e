package ceremony

import (
	"context"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"rootceremony/ceremony/record"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// preflight looks at the laptop. In a rehearsal what it finds is noted; on the
// day a failure is mended, or waived as an exception, but for an environment that
// leads PINs elsewhere.
func (d *Desk) preflight(ctx context.Context, a Attendant) error {
	for {
		start := d.tokens.Start
		if d.tokens.Plug != nil { // virtual
			start = nil
		}
		findings := Preflight(ctx, d.dir, d.clock(), d.state.Begun.Rehearsal, start)
		if err := a.Tell(ctx, Message{Title: "Check the laptop", Facts: findingFacts(findings)}); err != nil {
			return err
		}
		failures := failed(findings)
		if len(failures) == 0 || d.state.Begun.Rehearsal {
			return d.preflightDone(findings)
		}
		// This process keeps the environment that it was started in: to look again,
		// or to waive, changes nothing of what it does with PINs.
		if err := SafeEnvironment(); err != nil {
			return err
		}
		answer, err := a.Choose(ctx, Prompt{ID: "preflight.failed", Message: Message{Title: "Check the laptop",
			Text: []string{fmt.Sprintf("%d of the checks failed. Mend what can be mended. What is waived goes into the record as an exception.", len(failures))}},
			Question: "What now?"},
			[]Choice{{"again", "It is mended: look again"}, {"waive", "Go on all the same, as an exception"}})
		if err != nil {
			return err
		}
		if answer == "again" {
			continue
		}
		why, err := a.Ask(ctx, Prompt{ID: "preflight.why", Message: Message{Title: "Check the laptop"}, Question: "Why is it safe to go on?"}, notEmpty)
		if err != nil {
			return err
		}
		for _, f := range failures {
			if err := d.Exception("a laptop that passes the check "+f.ID, f.Text, "waived: "+why); err != nil {
				return err
			}
		}
		return d.preflightDone(findings)
	}
}

func (d *Desk) preflightDone(findings []Finding) error {
	if d.state.Begun.Rehearsal {
		for _, f := range findings {
			if f.Level == LevelOK {
				continue
			}
			if err := d.Note("preflight: " + f.Text); err != nil {
				return err
			}
		}
	}
	return d.record(TypePreflight, "room", PreflightDone{findings})
}

func findingFacts(findings []Finding) []Fact {
	var facts []Fact
	for _, f := range findings {
		text := f.Text
		if f.Advice != "" {
			text += " (hint: " + f.Advice + ")"
		}
		facts = append(facts, Fact{fmt.Sprintf("%-4s %s", f.Level, f.ID), text})
	}
	return facts
}

// FindingLines says the findings to people.
func FindingLines(findings []Finding) []string {
	var lines []string
	for _, f := range findings {
		lines = append(lines, f.Line())
	}
	return lines
}

func failed(findings []Finding) []Finding {
	var failures []Finding
	for _, f := range findings {
		if f.Level == LevelFail {
			failures = append(failures, f)
		}
	}
	return failures
}

// agree resolves the plan and has the room confirm its digest. From then on
// only the log decides what is made.
func (d *Desk) agree(ctx context.Context, a Attendant) error {
	resolved, chain, err := d.planToAgree()
	if err != nil {
		return err
	}
	if err := a.Tell(ctx, Message{Title: "The plan", Lines: CheckPlan(resolved, d.clock()).Lines()}); err != nil {
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
	err = a.Type(ctx, Prompt{ID: "plan.digest", Final: true, Message: Message{
		Title: "Agree the plan",
		Facts: []Fact{{"Digest", grouped(digest)}},
		Text:  []string{compare + " From now on nothing but this plan decides what is made."}},
		Question: "To agree, type the first 8 characters of the digest:"}, digest[:8])
	if err != nil {
		return err
	}
	for i, text := range chain { // which the log alone cannot make again
		if err := d.write(written{trustedFile(resolved.Trusted.Versions[i].Version), text}); err != nil {
			return err
		}
	}
	if err := d.record(TypePlanAgreed, "room", PlanAgreed{digest, resolved.JSON(), anchor}); err != nil {
		return err
	}
	return d.write(written{ResolvedFile, resolved.JSON()})
}

// anchorOf has people say that the first root of the chain is their project's
// own: everything else follows from it. chain are the files that are here.
func (d *Desk) anchorOf(ctx context.Context, a Attendant, r *Resolved, chain [][]byte) (Anchor, error) {
	if r.Trusted == nil {
		return "", nil
	}
	first := r.Trusted.Versions[0]
	title := fmt.Sprintf("Is it your root v%d?", first.Version)
	text := []string{fmt.Sprintf("The chain was verified up to version %d. That its first root is your project's own, no signature can say: compare the SHA-256 of its file with one that did not come with these files, such as last ceremony's record or an installer.", r.Trusted.newest().Version)}
	how, err := a.Choose(ctx, Prompt{ID: "trusted.how", Message: Message{Title: title, Text: text}, Question: "How do you know it?"},
		[]Choice{{string(AnchorTyped), "Type its SHA-256 from there"}, {string(AnchorConfirmed), "See it here, and compare"}})
	if err != nil {
		return "", err
	}
	if how == string(AnchorTyped) {
		_, err := a.Ask(ctx, Prompt{ID: "trusted.sha256", Final: true, Message: Message{Title: title,
			Text: []string{fmt.Sprintf("If yours is not taken, although you typed it as it stands there, the files in %s are not what you have there: stop, and find out why.", TrustedDir)}},
			Question: fmt.Sprintf("Type the SHA-256 of the file %d.root.json, the first 16 digits or all 64:", first.Version), scripted: first.SHA256},
			func(typed string) error { return isAnchor(typed, first, append(chain, []byte(r.Trusted.Root))) })
		return AnchorTyped, err
	}
	which, words, err := twoWords(first.SHA256)
	if err != nil {
		return "", err
	}
	return AnchorConfirmed, a.Type(ctx, Prompt{ID: "trusted.words", Final: true, Message: Message{Title: title, Facts: digestFacts(fmt.Sprintf("%s %d.root.json", ofFile, first.Version), first.SHA256),
		Text: []string{"Compare all of it. If anything differs, leave now: nothing is agreed."}},
		Question: "If it is the same, type " + which + ":"}, words)
}

// isAnchor tells whether a SHA-256 that was typed is that of the first root, and
// if not whether it is of what is signed in one of the files.
func isAnchor(typed string, first TrustedVersion, files [][]byte) error {
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
	return fmt.Errorf("that is not what lies in %s: the SHA-256 of the file %d.root.json is another one (hint: compare what you typed with what you have)", TrustedDir, first.Version)
}

// planToAgree is the plan in the directory, resolved, with the files of the
// trusted chain; or for an enrolment the resolved plan it was opened with, which
// has the newest of them.
func (d *Desk) planToAgree() (*Resolved, [][]byte, error) {
	if d.enrols != nil {
		return d.enrols, nil, nil
	}
	plan, err := ReadPlan(filepath.Join(d.dir, PlanFile))
	if err != nil {
		return nil, nil, err
	}
	resolved, err := plan.Resolve(d.clock())
	if err != nil {
		return nil, nil, err
	}
	resolved.Rehearsal = d.state.Begun.Rehearsal
	if plan.Chain == nil {
		return resolved, nil, nil
	}
	if err := plan.Real(); err != nil && !resolved.Rehearsal {
		return nil, nil, err
	}
	return resolved, plan.Chain.Files, nil
}

func notEmpty(s string) error {
	if strings.TrimSpace(s) == "" {
		return fmt.Errorf("a few words are needed here")
	}
	return nil
}

// grouped sets a digest in hex so that it can be read aloud.
func grouped(digest string) string {
	return strings.Join(groupsOf(digest, 4), " ")
}

func groupsOf(s string, n int) []string {
	var groups []string
	for ; len(s) > n; s = s[n:] {
		groups = append(groups, s[:n])
	}
	return append(groups, s)
}

// serialText is a serial number as people read it: 20 456 123.
func serialText(serial uint32) string { return keys.SerialText(serial) }

// tokenFacts shows a token as people recognise it.
func tokenFacts(info keys.Info, h Holder) []Fact {
	return []Fact{
		{"Token", info.FormFactor + ", firmware " + info.Firmware.String()},
		{"Serial", serialText(info.Serial) + toCarry(h)},
	}
}

func toCarry(h Holder) string {
	if h.Token == "" {
		return ""
	}
	return "   (to carry the sticker " + h.Token + ")"
}
