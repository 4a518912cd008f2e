package ceremony

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
	"rootceremony/keys/backup"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// opening is a backup that a quorum is about to open.
type opening struct {
	d      *Desk
	a      Attendant
	h      *HolderState // whose backup it is
	stored *BackupStored
	beside []string // stickers of virtual tokens that stay in a reader until the end
	file   File
	by     []string // ids, the outermost layer's first
}

// openQuorum has a quorum of a backup's recipients open it, one layer after
// the other. The last one is opened in a session in which what was in it stays,
// and in which then runs.
func (d *Desk) openQuorum(ctx context.Context, a Attendant, h *HolderState, what string, beside []string, then func(*session.Session, session.Opened) error) (*opening, error) {
	stored := h.backup(what)
	if stored == nil && h.replaces != nil {
		stored = h.replaces.backup(what)
	}
	if stored == nil {
		return nil, fmt.Errorf("no backup of the %s of %s is in use", map[string]string{keys.BackupKey: "root key", keys.BackupToken: "PUK"}[what], h.Holder.Name)
	}
	o := &opening{d: d, a: a, h: h, stored: stored, beside: beside}
	if err := o.chooseQuorum(ctx); err != nil {
		return nil, err
	}
	name := quorumFile(o.by, what)
	at := slices.IndexFunc(stored.Files, func(f File) bool { return path.Base(f.Name) == name })
	if at < 0 {
		return nil, fmt.Errorf("there is no file %s among the backups of %s", name, h.Holder.Name)
	}
	o.file = stored.Files[at]
	data, err := transcript.ReadFile(d.path(o.file.Name))
	if err != nil {
		return nil, fmt.Errorf("the backup cannot be read: %w (hint: let other recipients open it, or put the file back from one of its copies)", err)
	}
	if digestOf(data) != o.file.SHA256 {
		return nil, fmt.Errorf("%s is not the file that was sealed: its SHA-256 is %s, and was %s (hint: let other recipients open it, or put it back from one of its copies)", o.file.Name, digestOf(data), o.file.SHA256)
	}
	layers, err := keys.Layers(name)
	if err != nil {
		return nil, err
	}
	o.by = nil
	for i, layer := range layers {
		o.by = append(o.by, layer.Who)
		if err := a.Tell(ctx, Message{Title: fmt.Sprintf("Layer %d of %d: %s", i+1, len(layers), d.state.recipientName(layer.Who)), Text: o.next(layers[i+1:])}); err != nil {
			return nil, err
		}
		err = o.open(ctx, layer, data, func(s *session.Session, opened session.Opened) error {
			if layer.Inner == 0 {
				return then(s, opened)
			}
			data = opened.Data
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return o, nil
}

// next says whose layers come after this one.
func (o *opening) next(layers []keys.Layer) []string {
	if len(layers) == 0 {
		return []string{"It is the last layer."}
	}
	var names []string
	for _, l := range layers {
		names = append(names, o.d.state.recipientName(l.Who))
	}
	return []string{"Then: " + strings.Join(names, ", then ") + "."}
}

// chooseQuorum asks who is there. Whoever cannot open it any more, as the token
// it was sealed for is gone, is not among the choices.
func (o *opening) chooseQuorum(ctx context.Context) error {
	s := o.d.state
	title := "Open the backup of " + o.h.Holder.Name
	for len(o.by) < o.stored.Quorum {
		var choices []Choice
		for _, id := range o.stored.Recipients {
			if slices.Contains(o.by, id) || !s.opensStill(id, o.stored) {
				continue
			}
			label := s.recipientName(id)
			if h := s.Holders[id]; h != nil {
				label += ", token " + h.Holder.Token
			}
			choices = append(choices, Choice{id, label})
		}
		missing := o.stored.Quorum - len(o.by)
		if len(choices) < missing {
			return fmt.Errorf("the backup of %s wants %d of its recipients, and only %d can open it any more", o.h.Holder.Name, o.stored.Quorum, len(choices)+len(o.by))
		}
		id, err := o.a.Choose(ctx, Prompt{ID: fmt.Sprintf("open.who %d", len(o.by)+1), Message: Message{Title: title,
			Text: []string{fmt.Sprintf("Any %d of its recipients open it together. Fewer cannot.", o.stored.Quorum)}},
			Question: fmt.Sprintf("Who is number %d of %d?", len(o.by)+1, o.stored.Quorum)}, choices)
		if err != nil {
			return err
		}
		o.by = append(o.by, id)
	}
	return nil
}

// opensStill tells whether a recipient has what a backup was sealed for: a
// holder's token may have been given up or replaced since.
func (s *State) opensStill(id string, b *BackupStored) bool {
	text, err := s.recipientText(id)
	i := slices.Index(b.Recipients, id)
	return err == nil && i >= 0 && b.Ages[i] == text
}

// canOpen tells why the backup of a holder cannot be opened by anybody, before
// anything is begun that needs it.
func (d *Desk) canOpen(h *HolderState, what string) error {
	b := h.backup(what)
	if b == nil {
		return fmt.Errorf("no backup of %s is in use for that", h.Holder.Name)
	}
	able := slices.DeleteFunc(slices.Clone(b.Recipients), func(id string) bool { return !d.state.opensStill(id, b) })
	if len(able) < b.Quorum {
		return fmt.Errorf("the backup of %s wants %d of its recipients, and only %d can open it any more", h.Holder.Name, b.Quorum, len(able))
	}
	for _, f := range b.Files {
		if !slices.Contains(d.damaged, f.Name) {
			return nil
		}
	}
	return fmt.Errorf("every file of the backup of %s is damaged or gone (hint: put them back from one of the copies)", h.Holder.Name)
}

// tooFew are the holders, by name, of whose backups in use fewer than the quorum
// can open one, if the holder with the id gives up the token; "": nobody does.
func (s *State) tooFew(gone string) []string {
	return s.names(func(h *HolderState) bool {
		return h.Holder.ID != gone && slices.ContainsFunc([]string{keys.BackupKey, keys.BackupToken}, func(what string) bool {
			b := h.backup(what)
			if b == nil {
				return false
			}
			cannot := func(id string) bool { return id == gone || !s.opensStill(id, b) }
			return len(slices.DeleteFunc(slices.Clone(b.Recipients), cannot)) < b.Quorum
		})
	})
}

// open opens one layer by whoever it is for.
func (o *opening) open(ctx context.Context, layer keys.Layer, data []byte, then func(*session.Session, session.Opened) error) error {
	d := o.d
	h := d.state.Holders[layer.Who]
	if h == nil {
		r := *d.state.outside(layer.Who)
		if layer.Inner == 0 && d.tokens.Plug != nil {
			if err := d.tokens.Plug(o.beside...); err != nil {
				return err
			}
		}
		if r.Passphrase {
			return o.openByPassphrase(ctx, r, layer, data, then)
		}
		_, err := d.withIdentity(ctx, o.a, r, backup.OpenOrder{Layer: layer, By: backup.ByIdentity}, data, then)
		return err
	}
	there, err := d.waitForToken(ctx, o.a, h, "open.token "+layer.Who, func(info keys.Info) error { return fitsOpening(h, info) }, o.beside...)
	if err != nil {
		return err
	}
	return d.withPIN(ctx, o.a, h, there[0].PINTries, func(s *session.Session, pin *secret.Buffer) error {
		opened, err := d.openByToken(ctx, o.a, s, h, pin, backup.OpenOrder{Layer: layer, By: backup.ByToken}, data, "open a layer of the backup of "+o.h.Holder.Name)
		if err != nil {
			return err
		}
		return then(s, opened)
	})
}

func (o *opening) openByPassphrase(ctx context.Context, r BackupRecipient, layer keys.Layer, data []byte, then func(*session.Session, session.Opened) error) error {
	typed, err := o.d.openByPassphrase(ctx, o.a, passphrasePrompt(r, "open.passphrase", "open the backup of "+o.h.Holder.Name, "It opens one layer."),
		backup.OpenOrder{Layer: layer, By: backup.ByPassphrase}, data, then)
	typed.Wipe()
	return err
}

func fitsOpening(h *HolderState, info keys.Info) error {
	if info.Serial != h.Serial {
		return fmt.Errorf("%s's token has the serial number %s, this one %s (hint: insert the token with the sticker %s)",
			h.Holder.Name, serialText(h.Serial), serialText(info.Serial), h.Holder.Token)
	}
	if key, ok := info.Key(keys.SlotAge); !ok || key.Public != h.Prepared.Age {
		return fmt.Errorf("token %s no longer holds the key in slot %s that opens backups for %s (hint: it was reset elsewhere; let another recipient come)",
			serialText(info.Serial), keys.SlotAge, h.Holder.Name)
	}
	return nil
}

// drillTask: a backup is opened by a real quorum before anything is signed.
func (d *Desk) drillTask() Task {
	s := d.state
	t := Task{ID: "drill", Group: groupBackups, Title: "Restore drill", State: doneIf(s.drilled()), do: d.drill}
	if missing := s.names(func(h *HolderState) bool { return !h.counts() }); len(missing) > 0 {
		t.block("waits for the keys of " + listed(missing))
	}
	return t
}

// drilled: at least one backup was opened, and each one whose key was found on
// its token after an interruption.
func (s *State) drilled() bool {
	for _, h := range s.Holders {
		if h.Key != nil && h.Key.FoundOnLook && h.Key.Imported && !s.drilledOf(h) {
			return false
		}
	}
	return slices.ContainsFunc(s.Plan.Holders, func(h Holder) bool { return s.drilledOf(s.Holders[h.ID]) })
}

// drilledOf tells whether a backup of the holder that is still in use was
// opened: whoever has started over since has others.
func (s *State) drilledOf(h *HolderState) bool {
	return slices.ContainsFunc(s.Drills, func(done *DrillDone) bool {
		of, b := s.backupNamed(done.File)
		return of == h && h.backup(b.What) == b
	})
}

// drill opens one backup with a real quorum and compares what is in it.
func (d *Desk) drill(ctx context.Context, a Attendant) error {
	s := d.state
	var choices, wanted []Choice
	for _, h := range s.Plan.Holders {
		if h.Custody == Existing {
			continue // its backups, if any, are an earlier ceremony's
		}
		c := Choice{h.ID, h.Name}
		choices = append(choices, c)
		if state := s.Holders[h.ID]; state.Key.FoundOnLook && state.Key.Imported && !s.drilledOf(state) {
			wanted = append(wanted, c)
		}
	}
	if len(wanted) > 0 {
		choices = wanted
	}
	id, err := a.Choose(ctx, Prompt{ID: "drill.whose", Message: Message{Title: "Restore drill",
		Text: []string{"A backup that nobody has opened is none. A real quorum opens one now, and what is in it is compared with the key; it stays in memory, and is forgotten."}},
		Question: "Whose backup is opened?"}, choices)
	if err != nil {
		return err
	}
	h := s.Holders[id]
	what := keys.BackupKey
	if h.backup(what) == nil {
		what = keys.BackupToken
	}
	o, err := d.openQuorum(ctx, a, h, what, nil, func(_ *session.Session, opened session.Opened) error { return matches(h, opened) })
	if err != nil {
		return err
	}
	if err := d.record(TypeDrillDone, "room", DrillDone{id, o.file, o.by}); err != nil {
		return err
	}
	return a.Tell(ctx, Message{Title: "Restore drill", Text: []string{"The backup of " + h.Holder.Name + " opens, and what is in it is right."}})
}

// matches compares what a backup holds with what it should.
func matches(h *HolderState, opened session.Opened) error {
	key := h.Key
	if h.replaces != nil {
		key = h.replaces.Key
	}
	switch {
	case opened.What == keys.BackupKey && opened.Public != key.Public:
		return fmt.Errorf("the backup opens, and holds another root key than that of %s (hint: do not go on: start %s over)", h.Holder.Name, h.Holder.Name)
	case opened.What == keys.BackupToken && opened.Serial != h.Serial:
		return fmt.Errorf("the backup opens, and is of the token %s, not of %s (hint: do not go on: start %s over)", serialText(opened.Serial), serialText(h.Serial), h.Holder.Name)
	}
	return nil
}
