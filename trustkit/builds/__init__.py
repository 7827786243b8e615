"""Which images the files of builds and deployments name, where that is written, and how a digest gets in there.

Pure: text in, references and places in the text out.  Structure comes from the libraries that the extra ``resolve``
installs; nothing is formatted anew, a digest is put in at its place and the result is read back.
"""
