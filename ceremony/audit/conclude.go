package audit

import (
	"fmt"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/keys"
)

// conclude says what the log, as a whole, comes to.
func (w *walk) conclude() {
	if w.plan == nil {
		w.add(Open, "plan", "", "no plan is agreed yet")
		return
	}
	w.vouchers()
	for _, h := range w.signers {
		if w.Enrols == "" || w.Enrols == h.ID {
			w.key(h)
		}
	}
	for _, a := range w.alarms {
		w.concludeAlarm(a)
	}
	for _, at := range w.papers {
		w.add(Open, "alarm", "paper", "%s", w.Exceptions[at].Happened)
	}
	if w.Enrols != "" {
		w.tail()
		return
	}
	if d := w.live; d != nil {
		w.Draft = d.digest
		w.add(OK, "draft", fmt.Sprintf("root v%d", d.version), "the plan and the keys make it; SHA-256 of what is signed: %s (line %d)", agreed.Grouped(d.digest), d.line)
		switch {
		case d.reviewed != 0:
			w.add(OK, "review", fmt.Sprintf("root v%d", d.version), "the room has read it (line %d)", d.reviewed)
		default:
			w.add(Open, "review", fmt.Sprintf("root v%d", d.version), "the room has not read it yet")
		}
		w.signatures(d)
	}
	for _, d := range w.drafts {
		if d != w.live {
			w.add(NotCounted, "draft", fmt.Sprintf("abandoned, %.8s", d.digest), "given up with %d signatures, which do not count (line %d)", len(d.signed), d.line)
		}
	}
	for _, r := range w.rivals {
		w.add(NotCounted, "other root", fmt.Sprintf("%.8s", r.digest), "%d signatures over another root of this version, which do not count", len(r.file.Signatures))
	}
	if err := w.otherRoots(false); err != nil {
		w.add(Failed, otherRoots, fmt.Sprintf("version %d", w.Version), "%v", err)
	}
	if p := w.published; p != nil {
		w.add(OK, "published root", fmt.Sprintf("root v%d", p.draft.version), "the draft with %d signatures; SHA-256 of the file: %s (line %d)", len(p.keyIDs), agreed.Grouped(w.Published), p.line)
	}
	w.ending()
	w.tail()
}

// vouchers says up to which line each holder has signed the log.
func (w *walk) vouchers() {
	for _, h := range w.signers {
		best := Voucher{Holder: h.Name}
		for _, t := range h.tokens() {
			for _, v := range t.vouched {
				if t.unproved == nil && v.size >= best.UpTo {
					best.Serial, best.UpTo, best.Line, best.Closing = t.serial, v.size, v.line, w.sealedAt != 0 && v.size >= w.sealedAt
				}
			}
		}
		if best.UpTo == 0 {
			continue
		}
		w.Vouchers, w.Vouched = append(w.Vouchers, best), max(w.Vouched, best.UpTo)
		w.add(OK, "checkpoint", h.Name, "token %s has signed the log up to line %d (line %d)", agreed.SerialText(best.Serial), best.UpTo, best.Line)
	}
}

// key says whether a holder's root key counts.
func (w *walk) key(h *holder) {
	k := Key{Holder: h.ID, Name: h.Name, KeyID: h.KeyID, Custody: h.Custody, Sticker: h.own.sticker}
	t := h.own.token
	if w.live != nil && w.live.tokens[h.ID] != nil {
		t = w.live.tokens[h.ID]
	}
	if now := h.own.token; now != nil && now.age != (keys.PublicKey{}) && now.unproved == nil {
		k.Opens = Open
		if h.covers(now.line, 0) {
			k.Opens = OK
		}
	}
	if t != nil {
		k.Sticker, k.Serial, k.Firmware, k.Authentication, k.Age = t.sticker, t.serial, t.firmware, t.authentication, t.age
	}
	if h.kept() {
		key, _ := w.plan.TrustedRoot().Key(h.KeyID)
		k.Root, k.Status, k.Text = key.Public, OK, "a key of the trusted root"
		if h.Custody == agreed.Dropped {
			k.Text += " that the new one leaves out"
		}
		if version := w.exposed[key.Value()]; version > 0 {
			k.Text += fmt.Sprintf("; ITS PRIVATE HALF STANDS IN ROOT v%d: anyone can sign with it", version)
			if h.Custody != agreed.Dropped {
				k.Status = Failed
			}
		}
	} else {
		k.Status, k.Text = w.counts(h, t)
		if t != nil && t.key != nil {
			k.Root = t.key.public
			if key, err := w.plan.TrustedRoot().Notation().NewKey(t.key.public); err == nil {
				k.KeyID = key.ID
			}
		}
	}
	w.Keys = append(w.Keys, k)
	w.add(k.Status, "root key", h.Name, "%s", k.Text)
}

// counts says whether a new root key counts, and why.
func (w *walk) counts(h *holder, t *token) (Status, string) {
	switch {
	case t == nil:
		return Open, "no token is prepared yet"
	case t.unproved != nil:
		return Failed, fmt.Sprintf("it does not count: nothing proves that its token is a genuine one: %v", t.unproved)
	case t.key == nil:
		return Open, "it is not made yet"
	case t.key.unproved != nil:
		return Failed, fmt.Sprintf("it does not count: %v", t.key.unproved)
	case t.key.proved == 0:
		return Open, "it is made, and not proved yet"
	case h.elsewhere != nil && !h.elsewhere.confirmed:
		return Open, "it was made elsewhere, and is not confirmed yet"
	case h.elsewhere != nil:
		return OK, "made elsewhere, and proved by the log of that; the token attests that the key never leaves it"
	}
	unvouched := Open // a crash between the key and the checkpoint leaves a task
	if w.live != nil {
		unvouched = Failed
	}
	if !slices.ContainsFunc(h.tokens(), func(o *token) bool { return o.proves(t.key.public) }) {
		return unvouched, fmt.Sprintf("it does not count: %s has not signed the log with the lines in it that made and proved it (lines %d to %d)", h.Name, t.line, t.key.proved)
	}
	text := "the token attests that the key was made on it and never leaves it; proved, and vouched for by its holder"
	if t.key.imported {
		text = "made outside of the token, sealed in backups, and put on it; proved, and vouched for by its holder"
	}
	for _, b := range h.backups {
		if w.live != nil && b.line > w.live.line {
			unvouched = Open // as above
		}
		switch {
		case b.what == keys.BackupToken && b.at.token != t: // of a token that is not the one in question
		case b.wrong != nil:
			return Failed, fmt.Sprintf("it does not count: the backup of line %d: %v", b.line, b.wrong)
		case !h.covers(b.line, 0):
			return unvouched, fmt.Sprintf("it does not count: %s has not signed the log with the backup of line %d in it", h.Name, b.line)
		}
	}
	return OK, text
}

// signatures says of each signature over the live draft whether it counts, and of
// the thresholds whether they are reached.
func (w *walk) signatures(d *draft) {
	names := map[string]string{}
	for id, h := range d.signers {
		names[id] = h.Name
	}
	var vouched []string
	for _, s := range d.signed {
		status, text := OK, fmt.Sprintf("verified with the key %.8s (line %d)", s.keyID, s.line)
		switch {
		case s.not != "":
			status = NotCounted
			text += "; it does not count: " + s.not
		case !s.made:
			vouched = append(vouched, s.keyID)
			text += "; it came in a file, and its signer has not seen this log"
		case len(s.holder.tokens()) == 0:
			vouched = append(vouched, s.keyID)
			text += "; the token has no key that signs the log"
		case s.holder.covers(max(s.line, s.reviewed), 0):
			vouched = append(vouched, s.keyID)
			text += "; its signer has signed the log with it, and with the review before it"
		default:
			status = NotCounted
			text += "; it does not count in the record: its signer has not signed the log with it"
		}
		w.add(status, "signature", s.holder.Name, "%s", text)
	}
	for i, report := range w.reports(d.root, d.counted()) {
		recorded := w.reports(d.root, vouched)[i]
		of := fmt.Sprintf("root v%d", report.Version)
		switch {
		case !report.Good():
			w.add(Open, "threshold", of, "%s", report.Text(names))
		case !recorded.Good():
			w.add(Open, "threshold", of, "%s, and %d of them count in the record", report.Text(names), recorded.Have)
		default:
			w.add(OK, "threshold", of, "%s, by different keys", report.Text(names))
		}
	}
}

// ending says whether the ceremony is over, and who vouches for that.
func (w *walk) ending() {
	var closing []*holder
	var not []*holder
	for _, h := range w.signers {
		vouches := slices.ContainsFunc(w.Vouchers, func(v Voucher) bool { return v.Holder == h.Name && v.Closing })
		signed := w.live != nil && slices.ContainsFunc(w.live.signed, func(s *signature) bool { return s.holder == h && s.not == "" })
		switch {
		case vouches:
			closing = append(closing, h)
		case signed:
			not = append(not, h)
		}
	}
	switch {
	case !w.Sealed:
		w.add(Open, "end", "", "the ceremony is not sealed yet")
		return
	case len(closing) == 0:
		w.add(Open, "end", "", "it is sealed (line %d), and nobody vouches for that: no holder has signed the log with the seal in it", w.sealedAt)
	default:
		w.add(OK, "end", "", "it is sealed (line %d), and %s vouched for that", w.sealedAt, called(closing))
	}
	if len(not) > 0 && len(closing) > 0 {
		w.add(OK, "end", "", "%s signed the root, and not the closing", called(not))
	}
	if !w.Closed {
		w.add(Open, "end", "", "the ceremony is not closed yet")
	}
}

// tail says which lines at the end nobody vouches for.
func (w *walk) tail() {
	switch {
	case w.Vouched == 0:
		w.add(Open, "log", "", "nobody vouches for any line of it yet")
	case w.last > w.Vouched:
		w.add(Open, "log", "", "vouched for up to line %d; nobody vouches for what follows, up to line %d", w.Vouched, w.Lines)
	case w.Vouched < w.Lines:
		w.add(OK, "log", "", "vouched for up to line %d; after it stand only checkpoints, the closing and copies to media, and nobody vouches for how many of those there were", w.Vouched)
	}
}

// anchors says to what from outside the directory the record was held.
func (w *walk) anchors() {
	w.anchor("--plan-digest", w.o.PlanDigest != "", func() (bool, string) {
		if w.o.PlanDigest != w.PlanDigest {
			return false, fmt.Sprintf("the agreed plan has the digest %s, and %s was announced", w.PlanDigest, w.o.PlanDigest)
		}
		return true, "the agreed plan is the one that was announced"
	}, "nobody has said here that this is the plan that was announced before the day: another one may have been agreed, with other people in it")
	w.anchor("--checkpoint", w.o.Checkpoint != nil, func() (bool, string) { return w.announced(w.o.Checkpoint) },
		"a record that was cut short, or made as a whole with other genuine tokens, would look the same: compare the checkpoint, or the words of the holders' cards, with what was announced")
	if w.plan != nil && w.plan.Trusted != nil {
		first := w.plan.Trusted.Versions[0]
		w.anchor("--trusted-sha256", w.o.TrustedSHA256 != "", func() (bool, string) {
			if w.o.TrustedSHA256 != first.SHA256 {
				return false, fmt.Sprintf("the SHA-256 of the first root, v%d, is %s, and %s is trusted", first.Version, first.SHA256, w.o.TrustedSHA256)
			}
			return true, fmt.Sprintf("the chain begins with the trusted root v%d", first.Version)
		}, fmt.Sprintf("root v%d, with which the chain begins, is trusted on first use: it may be another project's, or a forger's", first.Version))
	} else if w.o.TrustedSHA256 != "" {
		w.add(Failed, "anchor", "--trusted-sha256", "this ceremony follows on no root")
	}
	if len(w.o.Roots) == 0 {
		w.Anchors = append(w.Anchors, Anchor{"--attestation-root", false, "no attestation root was given: no token counts as a genuine one"})
	}
}

// anchor takes one value from outside.
func (w *walk) anchor(name string, given bool, holds func() (bool, string), absent string) {
	if !given {
		w.Anchors = append(w.Anchors, Anchor{name, false, absent})
		return
	}
	good, text := holds()
	if !good {
		w.add(Failed, "anchor", name, "%s", text)
	}
	w.Anchors = append(w.Anchors, Anchor{name, true, text})
}
