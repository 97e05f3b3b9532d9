/** An image whose unpacking takes long enough to be disturbed: some thousand entries, and layers that undo each other. */
import {join} from 'node:path'
import {writeDockerArchive} from '../helpers/large-image.ts'
import {directory, endOfTar, file, hardlink, symlink} from '../helpers/tar.ts'

const folders = 50
const filesPerFolder = 100
const large = Buffer.alloc(24 * 1024 * 1024, 'content that is the same every time, ')

/** Writes the image. @returns its path */
export function writeMediumImage(folder: string): string {
  const path = join(folder, 'medium.tar')
  writeDockerArchive(path, [base(), deletions(), changes()])
  return path
}

function* base() {
  yield file('large', large)
  for (let at = 0; at < folders; at++) {
    yield directory(`folder-${at}`, {mtime: 1_400_000_000 + at})
    for (let number = 0; number < filesPerFolder; number++) yield small(at, number)
    yield symlink(`link-${at}`, `folder-${at}`)
    yield hardlink(`folder-${at}/again`, `folder-${at}/0`)
  }
  yield endOfTar
}

function* deletions() {
  for (let at = 0; at < folders; at += 5) {
    yield file(`.wh.folder-${at}`)
    yield file(`folder-${at + 1}/.wh..wh..opq`)
    yield small(at + 1, filesPerFolder)
    for (let number = 0; number < filesPerFolder; number += 2) yield file(`folder-${at + 2}/.wh.${number}`)
  }
  yield endOfTar
}

function* changes() {
  for (let at = 3; at < folders; at += 5) {
    for (let number = 0; number < filesPerFolder; number += 2) yield small(at, number, 'changed')
    yield directory(`folder-${at}/1`)
    yield file(`folder-${at}/1/below`, 'where a file was')
    yield file(`link-${at}`, 'where a symlink was')
    yield file(`folder-${at + 1}`, 'where a directory was')
  }
  yield file('large', large.subarray(1))
  yield endOfTar
}

function small(at: number, number: number, word = 'content') {
  return file(`folder-${at}/${number}`, `${word} ${at} ${number} `.repeat(1 + number * 3), {
    uid: number,
    mtime: 1_500_000_000 + number,
  })
}
