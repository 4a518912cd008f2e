package ceremony

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

const groupRetire = "Retire"

// retireTask brings the token of a dropped key to its factory state, once the
// root that does without it is published: clients and installers that still
// trust an older root would follow it.
func (d *Desk) retireTask(h *HolderState) Task {
	s := d.state
	t := Task{ID: "retire " + h.Holder.ID, Group: groupRetire, Title: h.Holder.Name, Optional: true,
		State: doneIf(h.Retired != nil || h.NotRetired != nil), do: func(ctx context.Context, a Attendant) error { return d.retire(ctx, a, h) }}
	switch {
	case h.Retired != nil:
		t.Reason = "reset"
	case h.NotRetired != nil:
		t.Reason = "not reset: " + h.NotRetired.Why
	case s.Published == nil:
		t.block("waits for the root to be published")
	case s.Sealed != nil:
		t.block("the ceremony was sealed without it")
	case len(s.rolesOf(h)) > 0:
		t.Reason = inUse(s, h)
	}
	return t
}

// rolesOf are the roles of the new root that a dropped key has still, by its
// value: a root key may also be one of targets, for example.
func (s *State) rolesOf(h *HolderState) []string {
	was, _ := s.Plan.TrustedRoot().Key(h.Holder.KeyID)
	var roles []string
	for _, name := range tuf.RoleNames {
		for _, id := range s.Root.Roles[name].KeyIDs {
			if key, _ := s.Root.Key(id); key.Value() == was.Value() && !slices.Contains(roles, name) {
				roles = append(roles, name)
			}
		}
	}
	return roles
}

// inUse says why the token of such a key is not reset.
func inUse(s *State, h *HolderState) string {
	roles := s.rolesOf(h)
	return fmt.Sprintf("the key stays in use for the role%s %s", map[bool]string{true: "s"}[len(roles) > 1], listed(roles))
}

// Why a token is not reset, where it could be.
const (
	another   = "another key on it stays in use"
	elsewhere = "its holder has it elsewhere, and resets it there"
	gone      = "it is lost or stolen"
	noToken   = "the key was on no token"
)

// retire resets the token of a dropped key before a witness.
func (d *Desk) retire(ctx context.Context, a Attendant, h *HolderState) error {
	title := h.Holder.Name + ": retire the token"
	drop := d.state.dropOf(h)
	why, err := d.notReset(ctx, a, title, h, drop)
	if err != nil {
		return err
	}
	if why != "" {
		return d.record(TypeNotRetired, "room", NotRetired{h.Holder.ID, why})
	}
	info, err := d.tokenToRetire(ctx, a, h)
	if err != nil {
		return err
	}
	if h.Open == nil {
		err := a.Type(ctx, Prompt{ID: "retire.serial " + h.Holder.ID, Final: true, Message: Message{Title: title,
			Facts: append(tokenFacts(info, h.Holder), heldFacts(info)...), Text: append([]string{"Every PIV key on it is erased for good, also those that this ceremony knows nothing of."}, openersLeft(d.state, drop)...)},
			Question: "To reset it, type its serial number without spaces:"}, fmt.Sprint(info.Serial))
		if err != nil {
			return err
		}
		if _, err := d.intend(TypeRetireIntended, h.Holder.ID, RetireIntended{h.act(info.Serial), info.Keys}); err != nil {
			return err
		}
	}
	intention := h.Open.Seq
	if !info.Fresh() {
		if info, err = d.reset(ctx, info.Serial); err != nil {
			return err
		}
	}
	witness, err := d.sawReset(ctx, a, title, info, h)
	if err != nil {
		return err
	}
	return d.record(TypeRetired, h.Holder.ID, TokenRetired{Result{h.act(info.Serial), intention}, witness, backupsToDestroy(d.state, drop)})
}

// notReset tells why the token of a dropped key is not reset: the new root has
// the key in another role, or people say where the token is. "" means here.
func (d *Desk) notReset(ctx context.Context, a Attendant, title string, h *HolderState, drop Drop) (string, error) {
	if len(d.state.rolesOf(h)) > 0 {
		why := inUse(d.state, h)
		return why, a.Tell(ctx, Message{Title: title, Facts: []Fact{{"Key", grouped(h.Holder.KeyID)}, {"Dropped as", drop.Reason}},
			Text: []string{"It is a root key no more, but " + why + ": its token is not reset. That is recorded."}})
	}
	choices := []Choice{{"here", "The token is here: reset it now"}, {"elsewhere", "Not here: " + elsewhere}, {"gone", "Not here: " + gone}, {"none", "There is none: " + noToken},
		{"another", "Not to be reset: " + another}}
	first := "here"
	switch {
	case h.Open != nil: // of a reset, or of a signature, that was interrupted
	case drop.Reason == Lost || drop.Reason == Stolen:
		first = "gone"
	case drop.Token == "":
		first = "none"
	case h.Key.Public.Algorithm == "": // no token that this program knows signs with it
		first = "elsewhere"
	}
	i := slices.IndexFunc(choices, func(c Choice) bool { return c.Key == first })
	choices = slices.Insert(slices.Delete(slices.Clone(choices), i, i+1), 0, choices[i])
	text := []string{"The key is no longer trusted by the new root. Whoever still trusts an older one follows it all the same: it should stop to exist."}
	if h.Open != nil {
		text = append(text, "An earlier step with its token was interrupted.")
	}
	where, err := a.Choose(ctx, Prompt{ID: "retire.where " + h.Holder.ID, Message: Message{Title: title,
		Facts: []Fact{{"Key", grouped(h.Holder.KeyID)}, {"Dropped as", drop.Reason}}, Text: slices.Concat(text, backupsToDestroy(d.state, drop), backupsToKeep(d.state, drop), openersLeft(d.state, drop))},
		Question: "Where is its token?"}, choices)
	return map[string]string{"elsewhere": elsewhere, "gone": gone, "none": noToken, "another": another}[where], err
}

// tokenToRetire waits for the token that holds the dropped key, or for the one
// whose reset was interrupted.
func (d *Desk) tokenToRetire(ctx context.Context, a Attendant, h *HolderState) (keys.Info, error) {
	fits := func(info keys.Info) error {
		if h.Open != nil && info.Serial != h.Open.Serial {
			return fmt.Errorf("a step with token %s was interrupted, and this is %s (hint: insert the former; where it is lost or broken, take the task again, and say so)", serialText(h.Open.Serial), serialText(info.Serial))
		}
		if h.Open != nil && h.Open.Type == TypeRetireIntended {
			return nil
		}
		if err := fitsSigning(h, info); err != nil {
			return err
		}
		return stillTrusted(d.state, info)
	}
	there, err := d.waitForToken(ctx, a, h, "retire.token "+h.Holder.ID, fits)
	if err != nil {
		return keys.Info{}, err
	}
	for _, info := range there {
		if err = fits(info); err != nil {
			continue
		}
		if h.Open != nil && h.Open.Type != TypeRetireIntended {
			err = d.settle(ctx, a, h, info)
		}
		return info, err
	}
	return keys.Info{}, err
}

// stillTrusted refuses a token with a key that the new root trusts.
func stillTrusted(s *State, info keys.Info) error {
	for _, held := range info.Keys {
		for _, k := range s.Root.Keys {
			if k.Public == held.Public {
				return fmt.Errorf("token %s also holds the key %.8s in slot %s, which the new root trusts; it is not reset (hint: take the task again, and say that another key on it stays in use)", serialText(info.Serial), k.ID, held.Slot)
			}
		}
	}
	return nil
}

// sawReset has somebody who holds no key of it confirm the reset, by name.
func (d *Desk) sawReset(ctx context.Context, a Attendant, title string, info keys.Info, h *HolderState) (string, error) {
	var choices []Choice
	for i, p := range d.state.Plan.Persons {
		choices = append(choices, Choice{fmt.Sprintf("person-%d", i+1), p.Name + ", " + p.Role})
	}
	for _, other := range d.state.Plan.Holders {
		if fold(other.Name) != fold(d.state.dropOf(h).Name) {
			choices = append(choices, Choice{other.ID, other.Name})
		}
	}
	key, err := a.Choose(ctx, Prompt{ID: "retire.witness " + h.Holder.ID, Final: true, Message: Message{Title: title,
		Facts: []Fact{{"Serial", serialText(info.Serial)}, {"Read back", "as new: no key, the PIN of every new token"}}},
		Question: "Who saw it, and confirms it?"}, choices)
	if err != nil {
		return "", err
	}
	return choices[slices.IndexFunc(choices, func(c Choice) bool { return c.Key == key })].Label, nil
}

// dropOf is the plan's entry for a dropped key.
func (s *State) dropOf(h *HolderState) Drop {
	i := slices.IndexFunc(s.Plan.Drops, func(d Drop) bool { return d.ID == h.Holder.ID })
	return s.Plan.Drops[i]
}

// backupsToDestroy names the backups of a dropped key that are known of, and of
// no other key. Plans that a former version has agreed know no folders.
func backupsToDestroy(s *State, d Drop) []string {
	lines := []string{}
	for _, e := range s.Plan.Earlier {
		for _, b := range e.Backups {
			switch {
			case !b.isOf(d.Name, s.Holders[d.ID].Key.Public):
			case b.Folders == nil:
				lines = append(lines, fmt.Sprintf("The backup of this key is to be destroyed too, in the folder of the ceremony %s and on every medium: the files of %s alone.", e.called(), b.Holder))
			default:
				lines = append(lines, fmt.Sprintf("The backup of this key is to be destroyed too: %s with all that is in it (%d files, *.key.age and *.token.age), in the folder of the ceremony %s, and on every medium in each folder %s... and %s... that has it.",
					slashed(b.Folders), b.Files, e.called(), backupsFolder, closedFolder))
			}
		}
	}
	return lines
}

// called tells an earlier ceremony from others of its name.
func (e Earlier) called() string {
	if e.Version == 0 {
		return fmt.Sprintf("%q", e.Name)
	}
	return fmt.Sprintf("%q for root v%d", e.Name, e.Version)
}

func slashed(folders []string) string {
	var all []string
	for _, folder := range folders {
		all = append(all, folder+"/")
	}
	return listed(all)
}

// staying are the backups of an earlier ceremony whose keys the new root has
// still.
func staying(s *State, e Earlier) []EarlierBackup {
	return slices.DeleteFunc(slices.Clone(e.Backups), func(b EarlierBackup) bool {
		return !slices.ContainsFunc(s.Plan.Holders, func(h Holder) bool { return h.Custody == Existing && b.isOf(h.Name, s.Holders[h.ID].Key.Public) })
	})
}

// backupsToKeep names the backups that lie beside those of a dropped key, and
// stay: there, and in this ceremony, which may have a new key's under the same
// holder.
func backupsToKeep(s *State, d Drop) []string {
	var lines []string
	for _, e := range s.Plan.Earlier {
		if !slices.ContainsFunc(e.Backups, func(b EarlierBackup) bool { return b.isOf(d.Name, s.Holders[d.ID].Key.Public) }) {
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
			lines = append(lines, fmt.Sprintf("The other backups of the ceremony %s must stay, as the new root trusts their keys: %s.", e.called(), listed(of)))
		}
	}
	var own []string
	for _, f := range s.copied() {
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
func openersLeft(s *State, d Drop) []string {
	gone := func(name string, o Drop) bool {
		for _, e := range s.Plan.Earlier {
			for _, b := range e.Backups { // which know whose a key was where the plan does not
				if fold(b.Holder) == fold(name) && b.isOf(o.Name, s.Holders[o.ID].Key.Public) {
					return true
				}
			}
		}
		return o.Name != "" && fold(o.Name) == fold(name)
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
				if !slices.ContainsFunc(s.Plan.Drops, func(other Drop) bool {
					out := other.ID == d.ID || other.Reason == Lost || other.Reason == Stolen || s.Holders[other.ID].Retired != nil
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
			of = "the backups of " + listed(whose[o])
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

func (s *State) retireIntended(e transcript.Event) error {
	var data RetireIntended
	if err := read(e, &data); err != nil {
		return err
	}
	h := s.Holders[data.Holder]
	if h == nil || h.Holder.Custody != Dropped || h.Retired != nil || h.NotRetired != nil || s.Published == nil || len(s.rolesOf(h)) > 0 {
		return errors.New("nothing is published, or this is no dropped key whose token is to be reset")
	}
	if h.Serial != data.Serial && h.Open == nil && s.HolderOf(data.Serial) == nil {
		h.Serial = 0 // the key may lie on another token too
	}
	_, err := s.intend(e, data.Act, "")
	return err
}

func (s *State) retired(e transcript.Event) error {
	var data TokenRetired
	if err := read(e, &data); err != nil {
		return err
	}
	if data.Witness == "" || data.Backups == nil {
		return errors.New("it names no witness, or no list of backups")
	}
	h, err := s.close(data.Result, TypeRetireIntended)
	if err != nil {
		return err
	}
	h.Retired, h.Prepared = &data, nil
	return nil
}

func (s *State) notRetired(e transcript.Event) error {
	var data NotRetired
	if err := read(e, &data); err != nil {
		return err
	}
	h := s.Holders[data.Holder]
	if h == nil || h.Holder.Custody != Dropped || h.Retired != nil || h.NotRetired != nil || s.Published == nil || s.Sealed != nil || data.Why == "" {
		return errors.New("nothing is published, or it is sealed, or this is no dropped key whose token is to be reset")
	}
	h.NotRetired, h.Open = &data, nil
	return nil
}
