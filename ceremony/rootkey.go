package ceremony

import (
	"cmp"
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
func (v visit) makeKey(ctx context.Context) error {
	s, h := v.d.State(), v.now()
	policy := s.Plan.Token
	order := session.RootKeyOrder{Algorithm: policy.Algorithm, Touch: policy.Touch, From: s.Origin(h)}
	attempt := ""
	text := "PUK and management key become random numbers that nobody keeps. Then the token makes the root key in 9c; it never leaves the token."
	if b := s.Plan.Backup; b != nil {
		if err := cmp.Or(s.AlarmAtSealing(), v.provedRecipients()); err != nil {
			return err
		}
		text = fmt.Sprintf("PUK and management key become random numbers. They are sealed so that any %d of %d recipients open them together, and only then set. ", b.Quorum, len(s.RecipientIDs(h)))
		switch order.From {
		case keys.FromToken:
			text += "Then the token makes the root key in 9c; it never leaves the token, and has no backup."
		case keys.FromSession:
			text += "The root key is made in this laptop's memory, sealed in the same way, put into 9c, and forgotten."
		case keys.FromHeld:
			text += "Then the root key from the backup is put into 9c."
		}
		var err error
		if order.Seal, err = v.sealOrder(); err != nil {
			return err
		}
		if order.Passphrases, err = v.passphrases(ctx); err != nil {
			return err
		}
		defer wipeAll(order.Passphrases)
		attempt = newAttempt()
		if v.kind == state.OwnToken {
			if err := v.d.called(state.CallBackups); err != nil {
				return err
			}
		}
	}
	if order.From == keys.FromSession {
		entropy, err := v.entropy(ctx)
		if err != nil {
			return err
		}
		if entropy != nil {
			defer entropy.Wipe()
			order.Entropy = []*secret.Buffer{entropy}
		}
	}
	if err := v.a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": making the root key", Text: []string{text}}); err != nil {
		return err
	}
	on := h.Act(h.Serial)
	intention, err := v.intend(state.TypeKeyIntended, state.KeyIntended{Act: on, Slot: keys.SlotRoot, Algorithm: policy.Algorithm, Touch: policy.Touch, Origin: order.From, Attempt: attempt, Entropy: len(order.Entropy) > 0})
	if err != nil {
		return err
	}
	result := state.Result{Act: on, Intention: intention}
	public, err := v.s.MakeRootKey(order, func(sealed session.Sealed) error { return v.storeBackup(result, attempt, sealed) })
	if err != nil {
		return err
	}
	return v.keyMade(result, public, false)
}

// entropy asks for dice rolls, or whatever people type, to be mixed into the
// random bytes of a key. They are never logged. nil: none.
func (v visit) entropy(ctx context.Context) (*secret.Buffer, error) {
	title := v.now().Holder.Name + ": more randomness?"
	add, err := v.a.Choose(ctx, prompt.Prompt{ID: "entropy " + v.holder, Message: prompt.Message{Title: title,
		Text: []string{"The key is made of random bytes of this laptop. Who does not trust those alone can mix in dice rolls, or any keys at random: they add to them, and never replace them."}},
		Question: "Mix something in?"}, []prompt.Choice{{Key: "no", Label: "No: the laptop's random bytes are enough"}, {Key: "yes", Label: "Yes: dice rolls, or keys at random"}})
	if err != nil || add == "no" {
		return nil, err
	}
	return v.a.AskSecret(ctx, prompt.Prompt{ID: "entropy.typed " + v.holder, Message: prompt.Message{Title: title,
		Text: []string{"50 rolls of a die are as good as a whole key. What is typed is not shown, and not kept."}},
		Question: "Type them without spaces:"}, func(typed *secret.Buffer) error {
		if typed.Len() < 10 {
			return fmt.Errorf("%d rolls are too few to help: 10 or more", typed.Len())
		}
		return nil
	})
}

// storeBackup writes the files of a sealed secret, and records them.
func (v visit) storeBackup(result state.Result, attempt string, sealed session.Sealed) error {
	s := v.d.State()
	stored := state.BackupStored{Result: result, What: sealed.What, SealedFor: state.SealedFor{Recipients: s.RecipientIDs(v.now()), Quorum: s.Plan.Backup.Quorum}}
	for _, id := range stored.Recipients {
		text, err := s.RecipientText(id)
		if err != nil {
			return err
		}
		stored.Ages = append(stored.Ages, text)
	}
	if sealed.What == keys.BackupKey {
		stored.Public = &sealed.Public
	}
	for _, f := range sealed.Files {
		file := state.Written{Name: agreed.BackupFolder(v.holder, attempt) + "/" + f.Name, Text: f.Data}
		if err := v.d.write(file); err != nil {
			return err
		}
		stored.Files = append(stored.Files, file.File())
	}
	return v.record(state.TypeBackupStored, stored)
}

// keyMade reads the root key's attestation back, where there is one, and
// records both.
func (v visit) keyMade(result state.Result, public keys.PublicKey, found bool) error {
	intended := v.now().Open.Key
	made := state.KeyMade{Result: result, Public: public, FoundOnLook: found, Imported: intended.Origin != keys.FromToken, PUKKept: intended.Attempt != ""}
	if !made.Imported {
		var err error
		if made.Evidence, err = v.d.attested(v.s, result.Serial, keys.SlotRoot, public, v.d.State().Plan.Token.Touch); err != nil {
			return err
		}
	}
	return v.record(state.TypeKeyMade, made)
}

// keyFound tells what of a root key that was being made is on the token: a
// result to record, or how far it came.
func (v visit) keyFound(info keys.Info) (public keys.PublicKey, there bool, now state.SettledKind, found string) {
	s, h := v.d.State(), v.now()
	key, taken := info.Key(keys.SlotRoot)
	sealed := h.StoredBackup(keys.BackupKey)
	policy := keys.Policy{PIN: keys.PINAlways, Touch: s.Plan.Token.Touch}
	fresh := info.ManagementDefault && info.PUKDefault
	switch {
	case taken && (info.PUKDefault || info.ManagementDefault): // they are set before it is made
	case taken && key.Generated && h.Open.Key.Origin == keys.FromToken:
		return key.Public, true, "", ""
	case taken && h.Open.Key.Origin == keys.FromSession && sealed != nil && *sealed.Public == key.Public && key.Policy == policy:
		return key.Public, true, "", ""
	case taken && v.kind != state.OwnToken && key.Public == v.own().Key.Public && key.Policy == policy:
		return key.Public, true, "", ""
	case fresh && !taken:
		return keys.PublicKey{}, false, state.SettledNothing, "nothing of it is on the token"
	case !taken && h.StoredBackup(keys.BackupToken) != nil && v.kind == state.OwnToken: // nothing was sealed for a replacement yet: it is wiped
		return keys.PublicKey{}, false, state.SettledLocked, "the token has its new PUK, which is sealed, and no root key yet"
	}
	return keys.PublicKey{}, false, state.SettledPartial, "the token was locked before its root key was made"
}

// key makes a holder's root key with its backups, once everybody who opens them
// is known.
func (v visit) key(ctx context.Context) error {
	there, err := v.waitForToken(ctx, "key.token "+v.holder, v.fitsEnrolment)
	if err != nil {
		return err
	}
	info := there[0]
	if err := v.settle(ctx, info); err != nil {
		return err
	}
	if err := v.noticeReset(ctx, info); err != nil {
		return err
	}
	if _, err := v.wipeIfNeeded(ctx, info); err != nil {
		return err
	}
	h := v.now()
	if h.Prepared == nil {
		return v.a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": the token is as new", Text: []string{"What was on it is gone. Take the task " + prompt.GroupHolders + ": " + h.Holder.Name + " again, and then this one."}})
	}
	if h.Locked {
		if err := v.keyOfLocked(ctx); err != nil {
			return err
		}
	}
	err = v.withPIN(ctx, info.PINTries, func(v visit) error {
		if v.now().Key == nil {
			if err := v.makeKey(ctx); err != nil {
				return err
			}
		}
		if v.now().Proved == nil {
			if err := v.prove(ctx); err != nil {
				return err
			}
		}
		return v.signCheckpoint(ctx)
	})
	if err != nil {
		return err
	}
	return v.a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": the root key is made", Write: v.card(),
		Text: []string{"The token has its key, and has proved it. Put it back into its bag."}})
}

// keyOfLocked makes the root key on a token that was cut off after it had its
// PUK and management key: a quorum opens their backup, and the making goes on.
func (v visit) keyOfLocked(ctx context.Context) error {
	h := v.now()
	err := v.a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": open the token's backup", Text: []string{
		"The token was cut off when it had its new PUK and management key, and no root key yet. Its recipients open their backup, and the making goes on; the key that opens the others' backups stays."}})
	if err != nil {
		return err
	}
	_, err = v.openQuorum(ctx, keys.BackupToken, []string{h.Holder.Token}, func(v visit, opened session.Opened) error {
		if err := v.matches(opened); err != nil {
			return err
		}
		if err := v.selectIn(ctx); err != nil {
			return err
		}
		return v.makeKey(ctx)
	})
	return err
}

// selectIn selects a holder's token in a session that has opened a backup. A
// token in a single reader has to change places with the one that opened it.
func (v visit) selectIn(ctx context.Context) error {
	h := v.now()
	look := func(context.Context) (keys.Info, error) {
		if err := v.s.Select(h.Serial); err != nil {
			return keys.Info{}, err
		}
		return v.s.Info()
	}
	if _, err := look(ctx); err == nil {
		return nil
	}
	_, err := v.a.WaitForToken(ctx, prompt.TokenWait{Prompt: prompt.Prompt{ID: "open.then " + v.holder, Message: prompt.Message{Title: h.Holder.Name + ": insert the token",
		Text: []string{"The backup is open, for as long as this task goes on. Take the other token out, and put this one in."}},
		Question: "Insert the token " + h.Holder.Token + "."}, Sticker: h.Holder.Token, Look: look})
	return err
}
