package laptop

import (
	"fmt"

	"rootceremony/keys"
)

// FirmwareTells is the first firmware that says whether PIN, PUK and management
// key are still a new token's; without that no token is prepared.
var FirmwareTells = keys.Firmware{Major: 5, Minor: 3}

// Supported tells why no ceremony can use a token, whatever its plan says.
func Supported(info keys.Info) error {
	if problem := unsupported(info); problem != "" {
		return fmt.Errorf("token %s %s", keys.SerialText(info.Serial), problem)
	}
	return nil
}

// unsupported is Supported as the rest of a sentence about the token.
func unsupported(info keys.Info) string {
	if info.Edition != "" {
		missing := "its rules for PINs and management keys are others, and nothing here was tried on a real one"
		if info.Edition == "Bio" {
			missing = "its keys can ask for a finger in place of the PIN, and nothing here was tried on a real one"
		}
		return fmt.Sprintf("is a YubiKey of the %s edition, which gets no new key here: %s (hint: use a YubiKey 5 of the standard edition)", info.Edition, missing)
	}
	if info.Firmware.Less(FirmwareTells) {
		return fmt.Sprintf("has firmware %s, which is too old for a new key and cannot be updated: it only signs, with an ECDSA key that the trusted root has already (hint: use a token with firmware 5.7.0 or newer)", info.Firmware)
	}
	return ""
}
