package ceremony

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
	"rootceremony/keys/backup"
	"rootceremony/keys/session"
)

// opening is a backup that a quorum is about to open.
type opening struct {
	visit  // of the token whose backup it is, or that is to get what is in it
	stored state.BackupStored
	beside []string // stickers of virtual tokens that stay in a reader until the end
	file   state.File
	by     []string // ids, the outermost layer's first
}

// openQuorum has a quorum of a backup's recipients open it, one layer after
// the other. The last one is opened in a session in which what was in it stays,
// and in which then runs.
func (v visit) openQuorum(ctx context.Context, what string, beside []string, then func(visit, session.Opened) error) (*opening, error) {
	h := v.now()
	stored := h.Backup(what)
	if stored == nil {
		stored = v.own().Backup(what)
	}
	if stored == nil {
		return nil, fmt.Errorf("no backup of the %s of %s is in use", map[string]string{keys.BackupKey: "root key", keys.BackupToken: "PUK"}[what], h.Holder.Name)
	}
	o := &opening{visit: v, stored: *stored, beside: beside}
	if err := o.chooseQuorum(ctx); err != nil {
		return nil, err
	}
	name := state.QuorumFile(o.by, what)
	at := slices.IndexFunc(stored.Files, func(f state.File) bool { return path.Base(f.Name) == name })
	if at < 0 {
		return nil, fmt.Errorf("there is no file %s among the backups of %s", name, h.Holder.Name)
	}
	o.file = stored.Files[at]
	data, err := transcript.ReadFile(v.d.path(o.file.Name))
	if err != nil {
		return nil, fmt.Errorf("the backup cannot be read: %w (hint: let other recipients open it, or put the file back from one of its copies)", err)
	}
	if agreed.DigestOf(data) != o.file.SHA256 {
		return nil, fmt.Errorf("%s is not the file that was sealed: its SHA-256 is %s, and was %s (hint: let other recipients open it, or put it back from one of its copies)", o.file.Name, agreed.DigestOf(data), o.file.SHA256)
	}
	layers, err := keys.Layers(name)
	if err != nil {
		return nil, err
	}
	o.by = nil
	for i, layer := range layers {
		o.by = append(o.by, layer.Who)
		if err := v.a.Tell(ctx, prompt.Message{Title: fmt.Sprintf("Layer %d of %d: %s", i+1, len(layers), v.d.State().RecipientName(layer.Who)), Text: o.next(layers[i+1:])}); err != nil {
			return nil, err
		}
		err = o.open(ctx, layer, data, func(s *session.Session, opened session.Opened) error {
			if layer.Inner == 0 {
				return then(v.in(s, nil), opened)
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
		names = append(names, o.d.State().RecipientName(l.Who))
	}
	return []string{"Then: " + strings.Join(names, ", then ") + "."}
}

// chooseQuorum asks who is there. Anyone who cannot open it any more, as the token
// it was sealed for is gone, is not among the choices.
func (o *opening) chooseQuorum(ctx context.Context) error {
	s := o.d.State()
	title := "Open the backup of " + o.now().Holder.Name
	for len(o.by) < o.stored.Quorum {
		var choices []prompt.Choice
		for _, id := range o.stored.Recipients {
			if slices.Contains(o.by, id) || !s.OpensStill(id, &o.stored) {
				continue
			}
			label := s.RecipientName(id)
			if h := s.Holders[id]; h != nil {
				label += ", token " + h.Holder.Token
			}
			choices = append(choices, prompt.Choice{Key: id, Label: label})
		}
		missing := o.stored.Quorum - len(o.by)
		if len(choices) < missing {
			return fmt.Errorf("the backup of %s wants %d of its recipients, and only %d can open it any more", o.now().Holder.Name, o.stored.Quorum, len(choices)+len(o.by))
		}
		id, err := o.a.Choose(ctx, prompt.Prompt{ID: fmt.Sprintf("open.who %d", len(o.by)+1), Message: prompt.Message{Title: title,
			Text: []string{fmt.Sprintf("Any %d of its recipients open it together. Fewer cannot.", o.stored.Quorum)}},
			Question: fmt.Sprintf("Who is number %d of %d?", len(o.by)+1, o.stored.Quorum)}, choices)
		if err != nil {
			return err
		}
		o.by = append(o.by, id)
	}
	return nil
}

// canOpen tells why the backup of a holder cannot be opened by anybody, before
// anything is begun that needs it.
func (v visit) canOpen(what string) error {
	s, h := v.d.State(), v.now()
	b := h.Backup(what)
	if b == nil {
		return fmt.Errorf("no backup of %s is in use for that", h.Holder.Name)
	}
	able := slices.DeleteFunc(slices.Clone(b.Recipients), func(id string) bool { return !s.OpensStill(id, b) })
	if len(able) < b.Quorum {
		return fmt.Errorf("the backup of %s wants %d of its recipients, and only %d can open it any more", h.Holder.Name, b.Quorum, len(able))
	}
	for _, f := range b.Files {
		if !slices.Contains(v.d.damaged, f.Name) {
			return nil
		}
	}
	return fmt.Errorf("every file of the backup of %s is damaged or gone (hint: put them back from one of the copies)", h.Holder.Name)
}

// open opens one layer by the recipient it is for.
func (o *opening) open(ctx context.Context, layer keys.Layer, data []byte, then func(*session.Session, session.Opened) error) error {
	d := o.d
	if d.State().Holders[layer.Who] == nil {
		r := *d.State().Outside(layer.Who)
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
	opener := d.visit(o.a, layer.Who)
	there, err := opener.waitForToken(ctx, "open.token "+layer.Who, opener.fitsOpening, o.beside...)
	if err != nil {
		return err
	}
	return opener.withPIN(ctx, there[0].PINTries, func(opener visit) error {
		opened, err := opener.openByToken(ctx, backup.OpenOrder{Layer: layer, By: backup.ByToken}, data, "open a layer of the backup of "+o.now().Holder.Name)
		if err != nil {
			return err
		}
		return then(opener.s, opened)
	})
}

func (o *opening) openByPassphrase(ctx context.Context, r agreed.BackupRecipient, layer keys.Layer, data []byte, then func(*session.Session, session.Opened) error) error {
	typed, err := o.d.openByPassphrase(ctx, o.a, passphrasePrompt(r, "open.passphrase", "open the backup of "+o.now().Holder.Name, "It opens one layer."),
		backup.OpenOrder{Layer: layer, By: backup.ByPassphrase}, data, then)
	typed.Wipe()
	return err
}

func (v visit) fitsOpening(info keys.Info) error {
	h := v.now()
	if info.Serial != h.Serial {
		return fmt.Errorf("%s's token has the serial number %s, this one %s (hint: insert the token with the sticker %s)",
			h.Holder.Name, agreed.SerialText(h.Serial), agreed.SerialText(info.Serial), h.Holder.Token)
	}
	if key, ok := info.Key(keys.SlotAge); !ok || key.Public != h.Prepared.Age {
		return fmt.Errorf("token %s no longer holds the key in slot %s that opens backups for %s (hint: it was reset elsewhere; let another recipient come)",
			agreed.SerialText(info.Serial), keys.SlotAge, h.Holder.Name)
	}
	return nil
}

// drillTask: a backup is opened by a real quorum before anything is signed.
func (d *Desk) drillTask() prompt.Task {
	s := d.State()
	t := prompt.Task{ID: "drill", Group: prompt.GroupBackups, Title: "Restore drill", State: DoneIf(s.Drilled()), Do: d.drill}
	if missing := s.Names(func(h *state.Holder) bool { return !h.Counts() }); len(missing) > 0 {
		t.Block("waits for the keys of " + tuf.Listed(missing, "and"))
	}
	return t
}

// drill opens one backup with a real quorum and compares what is in it.
func (d *Desk) drill(ctx context.Context, a prompt.Room) error {
	s := d.State()
	var choices, wanted []prompt.Choice
	for _, h := range s.Plan.Holders {
		if h.Custody == agreed.Existing {
			continue // its backups, if any, are an earlier ceremony's
		}
		c := prompt.Choice{Key: h.ID, Label: h.Name}
		choices = append(choices, c)
		if now := s.Holders[h.ID]; now.Key.FoundOnLook && now.Key.Imported && !s.DrilledOf(now) {
			wanted = append(wanted, c)
		}
	}
	if len(wanted) > 0 {
		choices = wanted
	}
	id, err := a.Choose(ctx, prompt.Prompt{ID: "drill.whose", Message: prompt.Message{Title: "Restore drill",
		Text: []string{"A backup that nobody has opened is none. A real quorum opens one now, and what is in it is compared with the key; it stays in memory, and is forgotten."}},
		Question: "Whose backup is opened?"}, choices)
	if err != nil {
		return err
	}
	v := d.visit(a, id)
	what := keys.BackupKey
	if v.now().Backup(what) == nil {
		what = keys.BackupToken
	}
	o, err := v.openQuorum(ctx, what, nil, visit.matches)
	if err != nil {
		return err
	}
	if err := d.record(state.TypeDrillDone, "room", state.DrillDone{Holder: id, Opened: state.Opened{File: o.file, By: o.by}}); err != nil {
		return err
	}
	return a.Tell(ctx, prompt.Message{Title: "Restore drill", Text: []string{"The backup of " + v.now().Holder.Name + " opens, and what is in it is right."}})
}

// matches compares what a backup holds with what it should.
func (v visit) matches(opened session.Opened) error {
	h := v.now()
	switch {
	case opened.What == keys.BackupKey && opened.Public != v.own().Key.Public:
		return fmt.Errorf("the backup opens, and holds another root key than that of %s (hint: do not go on: start %s over)", h.Holder.Name, h.Holder.Name)
	case opened.What == keys.BackupToken && opened.Serial != h.Serial:
		return fmt.Errorf("the backup opens, and is of the token %s, not of %s (hint: do not go on: start %s over)", agreed.SerialText(opened.Serial), agreed.SerialText(h.Serial), h.Holder.Name)
	}
	return nil
}
