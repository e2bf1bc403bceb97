"""Calls operations with boto3 in ways that must be refused.

The arguments are an endpoint, one at which all quotas are reached, and a file with the calls.
"""

import json
import re
import sys

import boto3
from botocore.config import Config

roomy, full = (
    boto3.client(
        "gamelift", endpoint_url=endpoint, region_name="us-east-1",
        aws_access_key_id="any", aws_secret_access_key="any", config=Config(proxies={}),
    )
    for endpoint in sys.argv[1:3]
)
raised = 0
for line in open(sys.argv[3]):
    operation, exception, parameters = json.loads(line)
    gamelift = full if exception == "LimitExceededException" else roomy
    method = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).lower()
    if not hasattr(gamelift, method):  # this boto3 is older than the operation
        continue
    try:
        answer = getattr(gamelift, method)(**parameters)
    except getattr(gamelift.exceptions, exception) as error:
        assert error.response["Error"]["Code"] == exception, (line, error.response)
        assert error.response["Error"]["Message"] and error.response["ResponseMetadata"]["RequestId"], (line, error.response)
        raised += 1
    else:
        raise AssertionError(f"{line} was answered {answer}")
print(raised)
