package ceremony

import (
	"context"
	"fmt"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// makeKey replaces PUK and management key by random ones and makes the
// root key, on the token or for it, and where the plan has backups seals what
// they are of before the token is given it.
func (d *Desk) makeKey(ctx context.Context, a prompt.Room, s *session.Session, h *state.Holder) error {
	policy := d.state.Plan.Token
	order := session.RootKeyOrder{Algorithm: policy.Algorithm, Touch: policy.Touch, From: d.state.Origin(h)}
	attempt := ""
	text := "PUK and management key become random numbers that nobody keeps. Then the token makes the root key in 9c; it never leaves the token."
	if b := d.state.Plan.Backup; b != nil {
		text = fmt.Sprintf("PUK and management key become random numbers. They are sealed so that any %d of %d recipients open them together, and only then set. ", b.Quorum, len(d.state.RecipientIDs(h)))
		switch order.From {
		case keys.FromToken:
			text += "Then the token makes the root key in 9c; it never leaves the token, and has no backup."
		case keys.FromSession:
			text += "The root key is made in this laptop's memory, sealed in the same way, put into 9c, and forgotten."
		case keys.FromHeld:
			text += "Then the root key from the backup is put into 9c."
		}
		var err error
		if order.Seal, err = d.sealOrder(h); err != nil {
			return err
		}
		if order.Passphrases, err = d.passphrases(ctx, a, h); err != nil {
			return err
		}
		defer wipeAll(order.Passphrases)
		attempt = newAttempt()
	}
	if order.From == keys.FromSession {
		entropy, err := d.entropy(ctx, a, h)
		if err != nil {
			return err
		}
		if entropy != nil {
			defer entropy.Wipe()
			order.Entropy = []*secret.Buffer{entropy}
		}
	}
	if err := a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": making the root key", Text: []string{text}}); err != nil {
		return err
	}
	on := h.Act(h.Serial)
	intention, err := d.intend(state.TypeKeyIntended, h.Holder.ID, state.KeyIntended{Act: on, Slot: keys.SlotRoot, Algorithm: policy.Algorithm, Touch: policy.Touch, Origin: order.From, Attempt: attempt, Entropy: len(order.Entropy) > 0})
	if err != nil {
		return err
	}
	result := state.Result{Act: on, Intention: intention}
	public, err := s.MakeRootKey(order, func(sealed session.Sealed) error { return d.storeBackup(h, result, attempt, sealed) })
	if err != nil {
		return err
	}
	return d.keyMade(s, h, result, public, false)
}

// entropy asks for dice rolls, or whatever people type, to be mixed into the
// random bytes of a key. They are never logged. nil: none.
func (d *Desk) entropy(ctx context.Context, a prompt.Room, h *state.Holder) (*secret.Buffer, error) {
	title := h.Holder.Name + ": more randomness?"
	add, err := a.Choose(ctx, prompt.Prompt{ID: "entropy " + h.Holder.ID, Message: prompt.Message{Title: title,
		Text: []string{"The key is made of random bytes of this laptop. Who does not trust those alone can mix in dice rolls, or any keys at random: they add to them, and never replace them."}},
		Question: "Mix something in?"}, []prompt.Choice{{Key: "no", Label: "No: the laptop's random bytes are enough"}, {Key: "yes", Label: "Yes: dice rolls, or keys at random"}})
	if err != nil || add == "no" {
		return nil, err
	}
	return a.AskSecret(ctx, prompt.Prompt{ID: "entropy.typed " + h.Holder.ID, Message: prompt.Message{Title: title,
		Text: []string{"50 rolls of a die are as good as a whole key. What is typed is not shown, and not kept."}},
		Question: "Type them without spaces:"}, func(typed *secret.Buffer) error {
		if typed.Len() < 10 {
			return fmt.Errorf("%d rolls are too few to help: 10 or more", typed.Len())
		}
		return nil
	})
}

// storeBackup writes the files of a sealed secret, and records them.
func (d *Desk) storeBackup(h *state.Holder, result state.Result, attempt string, sealed session.Sealed) error {
	stored := state.BackupStored{Result: result, What: sealed.What, Recipients: d.state.RecipientIDs(h), Quorum: d.state.Plan.Backup.Quorum}
	for _, id := range stored.Recipients {
		text, err := d.state.RecipientText(id)
		if err != nil {
			return err
		}
		stored.Ages = append(stored.Ages, text)
	}
	if sealed.What == keys.BackupKey {
		stored.Public = &sealed.Public
	}
	for _, f := range sealed.Files {
		file := state.Written{Name: agreed.BackupFolder(h.Holder.ID, attempt) + "/" + f.Name, Text: f.Data}
		if err := d.write(file); err != nil {
			return err
		}
		stored.Files = append(stored.Files, file.File())
	}
	return d.record(state.TypeBackupStored, h.Holder.ID, stored)
}

// keyMade reads the root key's attestation back, where there is one, and
// records both.
func (d *Desk) keyMade(s *session.Session, h *state.Holder, result state.Result, public keys.PublicKey, found bool) error {
	intended := h.Open.Key
	made := state.KeyMade{Result: result, Public: public, FoundOnLook: found, Imported: intended.Origin != keys.FromToken, PUKKept: intended.Attempt != ""}
	if !made.Imported {
		var err error
		if made.Evidence, err = d.attested(s, result.Serial, keys.SlotRoot, public, d.state.Plan.Token.Touch); err != nil {
			return err
		}
	}
	return d.record(state.TypeKeyMade, h.Holder.ID, made)
}

// keyFound tells what of a root key that was being made is on the token: a
// result to record, or how far it came.
func (d *Desk) keyFound(h *state.Holder, info keys.Info) (public keys.PublicKey, there bool, now state.SettledKind, found string) {
	key, taken := info.Key(keys.SlotRoot)
	sealed := h.StoredBackup(keys.BackupKey)
	policy := keys.Policy{PIN: keys.PINAlways, Touch: d.state.Plan.Token.Touch}
	fresh := info.ManagementDefault && info.PUKDefault
	switch {
	case taken && key.Generated && h.Open.Key.Origin == keys.FromToken:
		return key.Public, true, "", ""
	case taken && h.Open.Key.Origin == keys.FromSession && sealed != nil && *sealed.Public == key.Public && key.Policy == policy:
		return key.Public, true, "", ""
	case taken && h.Replaces != nil && key.Public == h.Replaces.Key.Public && key.Policy == policy:
		return key.Public, true, "", ""
	case fresh && !taken:
		return keys.PublicKey{}, false, state.SettledNothing, "nothing of it is on the token"
	case !taken && h.StoredBackup(keys.BackupToken) != nil && h.Replaces == nil: // nothing was sealed for a replacement yet: it is wiped
		return keys.PublicKey{}, false, state.SettledLocked, "the token has its new PUK, which is sealed, and no root key yet"
	}
	return keys.PublicKey{}, false, state.SettledPartial, "the token was locked before its root key was made"
}

// key makes a holder's root key with its backups, once everybody who opens them
// is known.
func (d *Desk) key(ctx context.Context, a prompt.Room, h *state.Holder) error {
	there, err := d.waitForToken(ctx, a, h, "key.token "+h.Holder.ID, func(info keys.Info) error { return d.fitsEnrolment(h, info) })
	if err != nil {
		return err
	}
	info := there[0]
	if err := d.settle(ctx, a, h, info); err != nil {
		return err
	}
	if err := d.noticeReset(ctx, a, h, info); err != nil {
		return err
	}
	if _, err := d.wipeIfNeeded(ctx, a, h, info); err != nil {
		return err
	}
	if h.Prepared == nil {
		return a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": the token is as new", Text: []string{"What was on it is gone. Take the task " + prompt.GroupHolders + ": " + h.Holder.Name + " again, and then this one."}})
	}
	if h.Locked {
		if err := d.keyOfLocked(ctx, a, h); err != nil {
			return err
		}
	}
	return d.withPIN(ctx, a, h, info.PINTries, func(s *session.Session, pin *secret.Buffer) error {
		if h.Key == nil {
			if err := d.makeKey(ctx, a, s, h); err != nil {
				return err
			}
		}
		if h.Proved == nil {
			if err := d.prove(ctx, a, s, h, pin); err != nil {
				return err
			}
		}
		return d.signCheckpoint(ctx, s, h, pin)
	})
}

// keyOfLocked makes the root key on a token that was cut off after it had its
// PUK and management key: a quorum opens their backup, and the making goes on.
func (d *Desk) keyOfLocked(ctx context.Context, a prompt.Room, h *state.Holder) error {
	err := a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": open the token's backup", Text: []string{
		"The token was cut off when it had its new PUK and management key, and no root key yet. Its recipients open their backup, and the making goes on; the key that opens the others' backups stays."}})
	if err != nil {
		return err
	}
	_, err = d.openQuorum(ctx, a, h, keys.BackupToken, []string{h.Holder.Token}, func(s *session.Session, opened session.Opened) error {
		if err := matches(h, opened); err != nil {
			return err
		}
		if err := d.selectIn(ctx, a, s, h); err != nil {
			return err
		}
		return d.makeKey(ctx, a, s, h)
	})
	return err
}

// selectIn selects a holder's token in a session that has opened a backup. A
// token in a single reader has to change places with the one that opened it.
func (d *Desk) selectIn(ctx context.Context, a prompt.Room, s *session.Session, h *state.Holder) error {
	look := func(context.Context) (keys.Info, error) {
		if err := s.Select(h.Serial); err != nil {
			return keys.Info{}, err
		}
		return s.Info()
	}
	if _, err := look(ctx); err == nil {
		return nil
	}
	_, err := a.WaitForToken(ctx, prompt.TokenWait{Prompt: prompt.Prompt{ID: "open.then " + h.Holder.ID, Message: prompt.Message{Title: h.Holder.Name + ": insert the token",
		Text: []string{"The backup is open, for as long as this task goes on. Take the other token out, and put this one in."}},
		Question: "Insert the token " + h.Holder.Token + "."}, Sticker: h.Holder.Token, Look: look})
	return err
}
