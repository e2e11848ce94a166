// The judge checks an exported log with other people's code: the checkpoint, the tiles, and a proof of inclusion.
//
//	judge FOLDER PROOF
//	judge witness VKEY                     is a witness of the log with this key
//	judge cosigned VKEY WITNESS < NOTE     checks a checkpoint's signatures of a log and a witness
package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	flog "github.com/transparency-dev/formats/log"
	fproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type tiles struct{ folder string }

func (t tiles) Height() int                         { return 8 }
func (t tiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, one := range wanted {
		// tlog says tile/8/L/N where C2SP says tile/L/N
		raw, err := os.ReadFile(filepath.Join(t.folder, "tile", strings.TrimPrefix(one.Path(), "tile/8/")))
		if err != nil {
			return nil, err
		}
		found = append(found, raw)
	}
	return found, nil
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println("refused:", err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func run(given []string) error {
	switch {
	case given[0] == "witness":
		return serve(given[1])
	case given[0] == "cosigned":
		raw, err := io.ReadAll(os.Stdin)
		if err != nil {
			return err
		}
		return cosigned(given[1], given[2], string(raw))
	default:
		return judge(given[0], given[1])
	}
}

func judge(folder, file string) error {
	vkey, err := os.ReadFile(filepath.Join(folder, "key"))
	if err != nil {
		return err
	}
	v, err := note.NewVerifier(strings.TrimSpace(string(vkey)))
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	if err != nil {
		return err
	}
	cp, _, _, err := flog.ParseCheckpoint(raw, v.Name(), v)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var p fproof.TLogProof
	if err := p.Unmarshal(text); err != nil {
		return err
	}
	if !bytes.Equal(p.Checkpoint, raw) {
		return fmt.Errorf("the proof has another checkpoint")
	}
	leaf, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.Split(string(text), "\n")[1], "extra "))
	if err != nil {
		return err
	}
	var hashes [][]byte
	for _, one := range p.Hashes {
		hashes = append(hashes, one[:])
	}
	hash := rfc6962.DefaultHasher.HashLeaf(leaf)
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, cp.Size, hash, hashes, cp.Hash); err != nil {
		return err
	}
	// Reads tiles and checks each against the root.
	tree := tlog.Tree{N: int64(cp.Size), Hash: tlog.Hash(cp.Hash)}
	reader := tlog.TileHashReader(tree, tiles{folder})
	for n := int64(0); n < tree.N; n += 17 {
		made, err := tlog.ProveRecord(tree.N, n, reader)
		if err != nil {
			return err
		}
		if n == int64(p.Index) && len(made) != len(hashes) {
			return fmt.Errorf("another proof")
		}
	}
	return nil
}
