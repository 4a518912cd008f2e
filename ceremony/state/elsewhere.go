package state

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/transcript"
)

// evidenceName is how files of evidence are called: nothing in a file from
// elsewhere is written anywhere else. The number is the token's.
var evidenceName = regexp.MustCompile(`^evidence/([1-9][0-9]{0,9})/[0-9a-z]+(\.[0-9a-z]+)+$`)

// EvidenceOf holds files to the folder of the token that they tell of.
func EvidenceOf(serial uint32, files []File) error {
	for _, f := range files {
		if m := evidenceName.FindStringSubmatch(f.Name); m == nil || m[1] != fmt.Sprint(serial) {
			return fmt.Errorf("the file %q is no evidence of token %s", f.Name, agreed.SerialText(serial))
		}
	}
	return nil
}

func (s *State) collected(e transcript.Event) error {
	var data Collected
	if err := Read(e, &data); err != nil {
		return err
	}
	h, err := s.holder(data.Act)
	if err != nil {
		return err
	}
	if h.Serial != 0 || s.Draft != nil || s.Begun.Enrols != "" {
		return fmt.Errorf("%s has a token already, or the keys are drafted", h.Holder.Name)
	}
	if data.Prepared.Act != data.Act || data.Key.Act != data.Act || data.Proved.Act != data.Act {
		return errors.New("its parts are not of one token")
	}
	if err := s.plansAlgorithm(data.Key.Public); err != nil {
		return err
	}
	made := &Holder{Holder: h.Holder, Serial: data.Serial, Prepared: &data.Prepared, Key: &data.Key, Proved: &data.Proved, Collected: &data}
	if err := EvidenceOf(data.Serial, slices.Concat(data.Prepared.Evidence, data.Key.Evidence, data.Proved.Evidence)); err != nil {
		return err
	}
	message, err := s.Possession(made, data.Proved.Nonce)
	if err != nil {
		return err
	}
	if err := verifyHex(data.Key.Public, message, data.Proved.Signature); err != nil {
		return err
	}
	s.Files = append(append(append(append(s.Files, data.File), data.Prepared.Evidence...), data.Key.Evidence...), data.Proved.Evidence...)
	*h = *made
	return nil
}

func (s *State) confirmed(e transcript.Event) error {
	var data Confirmed
	if err := Read(e, &data); err != nil {
		return err
	}
	h, err := s.holder(data.Act)
	if err != nil {
		return err
	}
	if h.Collected == nil || h.Confirmed != nil || data.SHA256 != h.Collected.File.SHA256 {
		return errors.New("nothing of that holder is to be confirmed, or it is another file")
	}
	h.Confirmed = &data
	return nil
}

func (s *State) handedOver(e transcript.Event) error {
	var data HandedOver
	if err := Read(e, &data); err != nil {
		return err
	}
	h := s.Holders[s.Begun.Enrols]
	if h == nil || h.Proved == nil || s.HandedOver != nil {
		return errors.New("this is no enrolment, or its key is not proved, or it was handed over already")
	}
	if err := s.Alarmed(); err != nil {
		return err
	}
	s.HandedOver = &data
	s.Files = append(s.Files, data.File)
	return nil
}
