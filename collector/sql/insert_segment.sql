-- insert_segment feeds a file of length-delimited export requests to the views, without copying it first.
INSERT INTO otlp_requests FROM INFILE $file SETTINGS $settings FORMAT Protobuf
