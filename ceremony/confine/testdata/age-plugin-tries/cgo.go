package main

// With cgo the process has threads that Go does not know.

import "C"
