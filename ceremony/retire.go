package ceremony

import (
	"context"
	"fmt"
	"path"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

const groupRetire = "Retire"

// retireTask brings the token of a dropped key to its factory state, once the
// root that does without it is published: clients and installers that still
// trust an older root would follow it.
func (d *Desk) retireTask(h *state.Holder) prompt.Task {
	s := d.State()
	id := h.Holder.ID
	t := prompt.Task{ID: "retire " + id, Group: groupRetire, Title: h.Holder.Name, Optional: true,
		State: DoneIf(h.Retired != nil || h.NotRetired != nil), Do: func(ctx context.Context, a prompt.Room) error { return d.visit(a, id).retire(ctx) }}
	switch {
	case h.Retired != nil:
		t.Reason = "reset"
	case h.NotRetired != nil:
		t.Reason = "not reset: " + h.NotRetired.Why
	case s.Published == nil:
		t.Block("waits for the root to be published")
	case s.Sealed != nil:
		t.Block("the ceremony was sealed without it")
	case len(s.RolesOf(h)) > 0:
		t.Reason = inUse(s, h)
	}
	return t
}

// inUse says why the token of such a key is not reset.
func inUse(s *state.State, h *state.Holder) string {
	roles := s.RolesOf(h)
	return fmt.Sprintf("the key stays in use for the role%s %s", map[bool]string{true: "s"}[len(roles) > 1], tuf.Listed(roles, "and"))
}

// Why a token is not reset, where it could be.
const (
	another   = "another key on it stays in use"
	elsewhere = "its holder has it elsewhere, and resets it there"
	gone      = "it is lost or stolen"
	noToken   = "the key was on no token"
)

// retire resets the token of a dropped key before a witness.
func (v visit) retire(ctx context.Context) error {
	title := v.now().Holder.Name + ": retire the token"
	drop := v.d.State().DropOf(v.now())
	why, err := v.notReset(ctx, title, drop)
	if err != nil {
		return err
	}
	if why != "" {
		return v.d.record(state.TypeNotRetired, "room", state.NotRetired{Holder: v.holder, Why: why})
	}
	info, err := v.tokenToRetire(ctx)
	if err != nil {
		return err
	}
	h := v.now()
	if h.Open == nil {
		err := v.a.Type(ctx, prompt.Prompt{ID: "retire.serial " + v.holder, Final: true, Message: prompt.Message{Title: title,
			Facts: append(tokenFacts(info, h.Holder), heldFacts(info)...), Text: append([]string{"Every PIV key on it is erased for good, also those that this ceremony knows nothing of."}, openersLeft(v.d.State(), drop)...)},
			Question: "To reset it, type its serial number without spaces:"}, fmt.Sprint(info.Serial))
		if err != nil {
			return err
		}
		if _, err := v.intend(state.TypeRetireIntended, state.RetireIntended{Act: h.Act(info.Serial), Held: info.Keys}); err != nil {
			return err
		}
	}
	intention := v.now().Open.Seq
	if !info.Fresh() {
		if info, err = v.d.reset(ctx, info.Serial); err != nil {
			return err
		}
	}
	witness, err := v.sawReset(ctx, title, info)
	if err != nil {
		return err
	}
	return v.record(state.TypeRetired, state.TokenRetired{Result: state.Result{Act: h.Act(info.Serial), Intention: intention}, Witness: witness, Destroyed: state.Destroyed{Backups: backupsToDestroy(v.d.State(), drop)}})
}

// notReset tells why the token of a dropped key is not reset: the new root has
// the key in another role, or people say where the token is. "" means here.
func (v visit) notReset(ctx context.Context, title string, drop agreed.Drop) (string, error) {
	s, h := v.d.State(), v.now()
	if len(s.RolesOf(h)) > 0 {
		why := inUse(s, h)
		return why, v.a.Tell(ctx, prompt.Message{Title: title, Facts: []prompt.Fact{{Label: "Key", Value: agreed.Grouped(h.Holder.KeyID)}, {Label: "Dropped as", Value: drop.Reason}},
			Text: []string{"It is a root key no more, but " + why + ": its token is not reset. That is recorded."}})
	}
	choices := []prompt.Choice{{Key: "here", Label: "The token is here: reset it now"}, {Key: "elsewhere", Label: "Not here: " + elsewhere}, {Key: "gone", Label: "Not here: " + gone}, {Key: "none", Label: "There is none: " + noToken},
		{Key: "another", Label: "Not to be reset: " + another}}
	first := "here"
	switch {
	case h.Open != nil: // of a reset, or of a signature, that was interrupted
	case drop.Reason == agreed.Lost || drop.Reason == agreed.Stolen:
		first = "gone"
	case drop.Token == "":
		first = "none"
	case h.Key.Public.Algorithm == "": // no token that this program knows signs with it
		first = "elsewhere"
	}
	i := slices.IndexFunc(choices, func(c prompt.Choice) bool { return c.Key == first })
	choices = slices.Insert(slices.Delete(slices.Clone(choices), i, i+1), 0, choices[i])
	text := []string{"The key is no longer trusted by the new root. Anyone who still trusts an older one follows it all the same: it should not exist any more."}
	if h.Open != nil {
		text = append(text, "An earlier step with its token was interrupted.")
	}
	where, err := v.a.Choose(ctx, prompt.Prompt{ID: "retire.where " + v.holder, Message: prompt.Message{Title: title,
		Facts: []prompt.Fact{{Label: "Key", Value: agreed.Grouped(h.Holder.KeyID)}, {Label: "Dropped as", Value: drop.Reason}}, Text: slices.Concat(text, backupsToDestroy(s, drop), backupsToKeep(s, drop), openersLeft(s, drop))},
		Question: "Where is its token?"}, choices)
	return map[string]string{"elsewhere": elsewhere, "gone": gone, "none": noToken, "another": another}[where], err
}

// tokenToRetire waits for the token that holds the dropped key, or for the one
// whose reset was interrupted.
func (v visit) tokenToRetire(ctx context.Context) (keys.Info, error) {
	fits := func(info keys.Info) error {
		h := v.now()
		if h.Open != nil && info.Serial != h.Open.Serial {
			return fmt.Errorf("a step with token %s was interrupted, and this is %s (hint: insert the former; where it is lost or broken, take the task again, and say so)", agreed.SerialText(h.Open.Serial), agreed.SerialText(info.Serial))
		}
		if h.Open != nil && h.Open.Type == state.TypeRetireIntended {
			return nil
		}
		if err := v.fitsSigning(info); err != nil {
			return err
		}
		return stillTrusted(v.d.State(), info)
	}
	there, err := v.waitForToken(ctx, "retire.token "+v.holder, fits)
	if err != nil {
		return keys.Info{}, err
	}
	for _, info := range there {
		if err = fits(info); err != nil {
			continue
		}
		if open := v.now().Open; open != nil && open.Type != state.TypeRetireIntended {
			err = v.settle(ctx, info)
		}
		return info, err
	}
	return keys.Info{}, err
}

// stillTrusted refuses a token with a key that the new root trusts.
func stillTrusted(s *state.State, info keys.Info) error {
	for _, held := range info.Keys {
		for _, k := range s.Root.Keys {
			if k.Public == held.Public {
				return fmt.Errorf("token %s also holds the key %.8s in slot %s, which the new root trusts; it is not reset (hint: take the task again, and say that another key on it stays in use)", agreed.SerialText(info.Serial), k.ID, held.Slot)
			}
		}
	}
	return nil
}

// sawReset has somebody who holds no key of it confirm the reset, by name.
func (v visit) sawReset(ctx context.Context, title string, info keys.Info) (string, error) {
	var choices []prompt.Choice
	s := v.d.State()
	for i, p := range s.Plan.Persons {
		choices = append(choices, prompt.Choice{Key: fmt.Sprintf("person-%d", i+1), Label: p.Name + ", " + p.Role})
	}
	for _, other := range s.Plan.Holders {
		if agreed.Fold(other.Name) != agreed.Fold(s.DropOf(v.now()).Name) {
			choices = append(choices, prompt.Choice{Key: other.ID, Label: other.Name})
		}
	}
	key, err := v.a.Choose(ctx, prompt.Prompt{ID: "retire.witness " + v.holder, Final: true, Message: prompt.Message{Title: title,
		Facts: []prompt.Fact{{Label: "Serial", Value: agreed.SerialText(info.Serial)}, {Label: "Read back", Value: "as new: no key, the PIN of every new token"}}},
		Question: "Who saw it, and confirms it?"}, choices)
	if err != nil {
		return "", err
	}
	return choices[slices.IndexFunc(choices, func(c prompt.Choice) bool { return c.Key == key })].Label, nil
}

// backupsToDestroy names the backups of a dropped key that are known of, and of
// no other key. Plans that a former version has agreed know no folders.
func backupsToDestroy(s *state.State, d agreed.Drop) []string {
	lines := []string{}
	for _, e := range s.Plan.Earlier {
		for _, b := range e.Backups {
			switch {
			case !b.IsOf(d.Name, s.Holders[d.ID].Key.Public):
			case b.Folders == nil:
				lines = append(lines, fmt.Sprintf("The backup of this key is to be destroyed too, in the folder of the ceremony %s and on every medium: the files of %s alone.", e.Called(), b.Holder))
			default:
				lines = append(lines, fmt.Sprintf("The backup of this key is to be destroyed too: %s with all that is in it (%d files, *.key.age and *.token.age), in the folder of the ceremony %s, and on every medium in each folder %s... and %s... that has it.",
					slashed(b.Folders), b.Files, e.Called(), backupsFolder, closedFolder))
			}
		}
	}
	return lines
}

func slashed(folders []string) string {
	var all []string
	for _, folder := range folders {
		all = append(all, folder+"/")
	}
	return tuf.Listed(all, "and")
}

// staying are the backups of an earlier ceremony whose keys the new root has
// still.
func staying(s *state.State, e agreed.Earlier) []agreed.EarlierBackup {
	return slices.DeleteFunc(slices.Clone(e.Backups), func(b agreed.EarlierBackup) bool {
		return !slices.ContainsFunc(s.Plan.Holders, func(h agreed.Holder) bool {
			return h.Custody == agreed.Existing && b.IsOf(h.Name, s.Holders[h.ID].Key.Public)
		})
	})
}

// backupsToKeep names the backups that lie beside those of a dropped key, and
// stay: there, and in this ceremony, which may have a new key's under the same
// holder.
func backupsToKeep(s *state.State, d agreed.Drop) []string {
	var lines []string
	for _, e := range s.Plan.Earlier {
		if !slices.ContainsFunc(e.Backups, func(b agreed.EarlierBackup) bool { return b.IsOf(d.Name, s.Holders[d.ID].Key.Public) }) {
			continue
		}
		var of []string
		for _, b := range staying(s, e) {
			if b.Folders != nil {
				of = append(of, slashed(b.Folders))
			} else {
				of = append(of, b.Holder)
			}
		}
		if of != nil {
			lines = append(lines, fmt.Sprintf("The other backups of the ceremony %s must stay, as the new root trusts their keys: %s.", e.Called(), tuf.Listed(of, "and")))
		}
	}
	var own []string
	for _, f := range s.Copied() {
		if folder := path.Dir(f.Name); !slices.Contains(own, folder) {
			own = append(own, folder)
		}
	}
	if own != nil && len(backupsToDestroy(s, d)) > 0 {
		lines = append(lines, fmt.Sprintf("The backups of this ceremony must stay too, wherever they are: %s.", slashed(own)))
	}
	return lines
}

// openersLeft says how many are left who open the backups of keys that stay,
// once the token of a dropped key is reset.
func openersLeft(s *state.State, d agreed.Drop) []string {
	gone := func(name string, o agreed.Drop) bool {
		for _, e := range s.Plan.Earlier {
			for _, b := range e.Backups { // which know whose a key was where the plan does not
				if agreed.Fold(b.Holder) == agreed.Fold(name) && b.IsOf(o.Name, s.Holders[o.ID].Key.Public) {
					return true
				}
			}
		}
		return o.Name != "" && agreed.Fold(o.Name) == agreed.Fold(name)
	}
	type odds struct{ left, quorum int }
	whose := map[odds][]string{}
	var order []odds
	for _, e := range s.Plan.Earlier {
		for _, b := range staying(s, e) {
			if !slices.ContainsFunc(b.Recipients, func(name string) bool { return gone(name, d) }) {
				continue // it opens none of these
			}
			o := odds{quorum: b.Quorum}
			for _, name := range b.Recipients {
				if !slices.ContainsFunc(s.Plan.Drops, func(other agreed.Drop) bool {
					out := other.ID == d.ID || other.Reason == agreed.Lost || other.Reason == agreed.Stolen || s.Holders[other.ID].Retired != nil
					return out && gone(name, other)
				}) {
					o.left++
				}
			}
			if whose[o] == nil {
				order = append(order, o)
			}
			whose[o] = append(whose[o], b.Holder)
		}
	}
	var lines []string
	for _, o := range order {
		of := "the backup of " + whose[o][0]
		if len(whose[o]) > 1 {
			of = "the backups of " + tuf.Listed(whose[o], "and")
		}
		are := map[bool]string{true: "is", false: "are"}[o.left == 1]
		text := fmt.Sprintf("Reset, this token opens no backups any more: its key in slot 82 goes too. Of those who open %s, %d %s left", of, o.left, are)
		switch {
		case o.left < o.quorum:
			text += fmt.Sprintf(", and %d must come: nobody can open %s any more. Plan a rotation, and do not reset the token before.", o.quorum, of)
		case o.left == o.quorum:
			text += ", and all of them must come: plan a rotation."
		default:
			text += fmt.Sprintf(", and any %d of them must come.", o.quorum)
		}
		lines = append(lines, text)
	}
	return lines
}
