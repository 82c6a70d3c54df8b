# Two images with the same Python packages (requirements.txt is the lock):
#   docker build --target airflow -t gate5-airflow .   every Airflow component and the CPU worker
#   docker build --target gpu     -t gate5-gpu .       the worker of the queue `gpu`
# Packages go into a virtual environment of their own, so that nothing that a base image brings can change a version.
ARG AIRFLOW_IMAGE=apache/airflow:3.3.2-python3.11
ARG CUDA_VERSION=13.0.2

FROM ${AIRFLOW_IMAGE} AS airflow
ARG GATE5_COMMIT=""
# torch for the CPU alone; a site with an index of its own gives that as a build argument.
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
USER 0
# A named volume takes the owner of the folder that it is mounted on, so each of these has to be there.
RUN mkdir -p /opt/gate5 /srv/gate5/var/keys /srv/gate5/var/trust /opt/airflow/logs /opt/airflow/login \
    && chown -R airflow:0 /opt/gate5 /srv/gate5 /opt/airflow/logs /opt/airflow/login
USER 50000
WORKDIR /srv/gate5
ENV PATH=/opt/gate5/bin:$PATH GATE5_HOME=/srv/gate5 GATE5_COMMIT=${GATE5_COMMIT}
# The base image sets this for its own user-site packages; the virtual environment must not see them.
ENV PIP_USER=false PYTHONNOUSERSITE=1
COPY --chown=airflow:0 requirements.txt requirements-cluster.txt ./
RUN python3.11 -m venv /opt/gate5 \
    && /opt/gate5/bin/pip install --no-cache-dir -r requirements.txt -r requirements-cluster.txt \
    && /opt/gate5/bin/pip check
COPY --chown=airflow:0 pyproject.toml README.md ./
COPY --chown=airflow:0 include include
RUN /opt/gate5/bin/pip install --no-cache-dir --no-deps .
COPY --chown=airflow:0 dags dags
COPY --chown=airflow:0 plugins plugins
COPY --chown=airflow:0 config config
COPY --chown=airflow:0 examples examples
COPY --chown=airflow:0 deploy deploy

# pycuda is compiled here, with the toolkit; the runtime image has none.
FROM nvidia/cuda:${CUDA_VERSION}-devel-ubuntu24.04 AS gpu-build
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y --no-install-recommends software-properties-common g++ \
    && add-apt-repository -y ppa:deadsnakes/ppa \
    && apt-get install -y --no-install-recommends python3.11 python3.11-venv python3.11-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /srv/gate5
COPY requirements.txt requirements-cluster.txt requirements-gpu.txt ./
RUN python3.11 -m venv /opt/gate5 \
    && /opt/gate5/bin/pip install --no-cache-dir -r requirements.txt -r requirements-cluster.txt -r requirements-gpu.txt \
    && /opt/gate5/bin/pip check
COPY pyproject.toml README.md ./
COPY include include
RUN /opt/gate5/bin/pip install --no-cache-dir --no-deps .

FROM nvidia/cuda:${CUDA_VERSION}-runtime-ubuntu24.04 AS gpu
ARG GATE5_COMMIT=""
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y --no-install-recommends software-properties-common \
    && add-apt-repository -y ppa:deadsnakes/ppa \
    && apt-get install -y --no-install-recommends python3.11 python3.11-venv \
    && apt-get purge -y software-properties-common && apt-get autoremove -y && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 50000 --gid 0 --create-home airflow \
    && mkdir -p /srv/gate5/var/keys /opt/airflow/logs && chown -R airflow:0 /srv/gate5 /opt/airflow
COPY --from=gpu-build --chown=airflow:0 /opt/gate5 /opt/gate5
USER 50000
WORKDIR /srv/gate5
ENV PATH=/opt/gate5/bin:$PATH GATE5_HOME=/srv/gate5 GATE5_COMMIT=${GATE5_COMMIT} AIRFLOW_HOME=/opt/airflow \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --chown=airflow:0 dags dags
COPY --chown=airflow:0 plugins plugins
COPY --chown=airflow:0 config config
COPY --chown=airflow:0 examples examples
COPY --chown=airflow:0 deploy deploy
ENTRYPOINT ["airflow"]
