FROM odd:base
SHELL ["/bin/busybox", "sh", "-euc"]
# whiteouts of files and of a directory
RUN rm /srv/data/a/f1 /srv/data/a/b/g5 && rm -r /srv/gone /srv/data/a/b/c
ENV EMPTY_STEP=1
# opaque directories, one with a child of an old name
RUN rm -r /srv/opaque && mkdir -p /srv/opaque/inner && echo new >/srv/opaque/h3 && echo new >/srv/opaque/inner/new && chmod 2775 /srv/opaque
# changes of type
RUN cd /srv/swap && rm -r ./*-nothing && for from in directory link fifo; do rm -r $from-file && echo file >$from-file; done && \
    for from in file link fifo; do rm $from-directory && mkdir $from-directory && echo inner >$from-directory/inner; done && \
    for from in file directory fifo; do rm -r $from-link && ln -s /nowhere/at/all $from-link; done && \
    for from in file directory link; do rm -r $from-fifo && mkfifo -m 0640 $from-fifo; done
EXPOSE 8080/tcp
