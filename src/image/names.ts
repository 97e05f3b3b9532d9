/** Names of images: as documents write them, as docker shows them, as users type them. */
import type {Image, LostImage} from './model.ts'
import {sequenceIDs, stepsOf} from './steps.ts'

/** Annotation keys that name an image. @see OCI image-spec annotations.md; containerd core/images/annotations.go */
const refNameKey = 'org.opencontainers.image.ref.name'
const containerdNameKey = 'io.containerd.image.name'

/**
 * Names of an OCI image from the annotations of its descriptor. containerd's is whole; OCI's may be a whole name or a bare tag.
 */
export function namesOf(annotations: Readonly<Record<string, string>>): Pick<Image, 'names' | 'aliases'> {
  const whole = annotations[containerdNameKey]
  const ref = annotations[refNameKey]
  const name = whole ?? ref
  if (name === undefined) return {names: [], aliases: []}
  const names = [familiarName(name)]
  return {
    names,
    aliases: [...new Set([whole, ref])].filter((alias) => alias !== undefined && alias !== names[0]) as string[],
  }
}

/**
 * Annotations of a descriptor for a name: OCI's is the name as it is shown, which skopeo, podman and umoci look for;
 * containerd's is whole, and only a name that docker takes has one.
 *
 * @returns what {@link namesOf} reads as the name
 */
export function annotationsOf(name: string): Readonly<Record<string, string>> {
  return {...(isDockerName(name) && {[containerdNameKey]: wholeName(name)}), [refNameKey]: name}
}

/**
 * Parts a name at the colon of its tag.
 *
 * @returns undefined when it has none: the port of a host is no tag, and neither is a digest
 */
export function splitTag(name: string): {readonly repository: string; readonly tag: string} | undefined {
  const [, repository, tag] = /^([^@]*[^@:/]):([\w][\w.-]{0,127})$/.exec(name) ?? []
  return repository === undefined || tag === undefined ? undefined : {repository, tag}
}

const hostPattern = /^(?=.*[.:A-Z]|localhost$)[A-Za-z0-9]+(?:[.-]+[A-Za-z0-9]+)*(?::\d+)?$/
const componentPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/

/** Whether docker takes a name: a repository in lower case, maybe with a host in front, and a tag. @see distribution/reference, "Grammar" */
export function isDockerName(name: string): boolean {
  const {repository = ''} = splitTag(name) ?? {}
  const [first = '', ...rest] = repository.split('/')
  const components = rest.length > 0 && hostPattern.test(first) ? rest : [first, ...rest]
  return repository.length <= 255 && components.every((component) => componentPattern.test(component))
}

/** Parts `NAME@DIGEST`, where the digest pins the name; also its first 12 or more digits. @see distribution/reference, "Grammar" */
export function splitDigest(wanted: string): {readonly name: string; readonly digest: string} | undefined {
  const [, name, digest] = /^(.+)@(sha(?:256|384|512):[0-9a-f]{12,128})$/s.exec(wanted) ?? []
  return name === undefined || digest === undefined ? undefined : {name, digest}
}

/** The part of a name that all of its repository's names begin with: docker's of all tags and digests. */
export function repositoryOf(name: string): string {
  return splitTag(name)?.repository ?? name.replace(/@.*$/s, '')
}

/** The inverse of {@link familiarName}. @see moby distribution/reference, splitDockerDomain */
function wholeName(name: string): string {
  const [host = '', ...rest] = name.split('/')
  if (rest.length === 0) return `docker.io/library/${name}`
  return host === 'localhost' || /[.:]/.test(host) ? name : `docker.io/${name}`
}

/**
 * A name without what docker leaves out: the host and the library of Docker Hub.
 *
 * @see moby distribution/reference, FamiliarString
 */
export function familiarName(name: string): string {
  return name.replace(/^(?:(?:index\.)?docker\.io\/)?(?:library\/(?=[^/]+$))?(?=[^/])/, '')
}

/**
 * Whether what the user typed selects the image: a name, with or without its tag, an alias, the first digits of an id
 * that is printed for it (image ID, manifest digest, v1 id, chainID of its layers, id of its last node in a tree) or of the digest
 * of an index that leads to it; or a name and a digest that both do.
 */
export function isNamed(image: Image, wanted: string): boolean {
  const ids = () => [...digestsOf(image), image.v1ID, ...stackIDs(image)]
  return isSpelled(image, wanted) || isID(ids, wanted) || isPinned(image, wanted)
}

/** Whether it selects an image that was left out. */
export function isLostNamed(image: LostImage, wanted: string): boolean {
  return isSpelled(image, wanted) || isID(() => [...digestsOf(image), image.v1ID], wanted) || isPinned(image, wanted)
}

/** Whether an image has the name of a {@link splitDigest}, where a name without a tag stands for all tags. */
export function isCalled(image: Pick<LostImage, 'names' | 'aliases'>, name: string): boolean {
  const isOfAnyTag = splitTag(name) === undefined
  return (
    isSpelled(image, name) || (isOfAnyTag && image.names.some((known) => repositoryOf(known) === familiarName(name)))
  )
}

/** What a digest behind a name may be. */
function digestsOf(image: Partial<Pick<Image, 'manifestDigest' | 'indexDigests'>> & {readonly imageID?: string}) {
  return [image.imageID, image.manifestDigest, ...(image.indexDigests ?? [])]
}

function isPinned(image: Parameters<typeof isCalled>[0] & Parameters<typeof digestsOf>[0], wanted: string): boolean {
  const {name, digest} = splitDigest(wanted) ?? {}
  if (name === undefined || digest === undefined) return false
  return isCalled(image, name) && digestsOf(image).some((known) => known?.startsWith(digest))
}

function isSpelled({names, aliases = []}: Pick<LostImage, 'names' | 'aliases'>, wanted: string): boolean {
  const familiar = familiarName(wanted)
  return [...names, ...aliases].some((name) => name === wanted || name === familiar || name === `${familiar}:latest`)
}

function isID(ids: () => readonly (string | undefined)[], wanted: string): boolean {
  const hex = wanted.replace(/^sha256:/, '')
  return /^[0-9a-f]{12,64}$/.test(hex) && ids().some((id) => id?.replace(/^sha256:/, '').startsWith(hex))
}

const stackIDsByImage = new WeakMap<Image, readonly string[]>()

/** The ids of what an image's last step left. They are digests over all of its steps, and names may be asked for often. */
function stackIDs(image: Image): readonly string[] {
  const known = stackIDsByImage.get(image)
  if (known !== undefined) return known
  const steps = stepsOf(image)
  const chainID = steps.findLast((step) => step.chainID !== undefined)?.chainID
  const ids = [chainID, sequenceIDs(steps).at(-1)].filter((id) => id !== undefined)
  stackIDsByImage.set(image, ids)
  return ids
}
