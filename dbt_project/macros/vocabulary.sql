{# Words that several models share, in one place. #}

{# What a deployment chooses, handed over by Dagster. The defaults are for those who run dbt
   by hand; a test holds them against orchestration/lake/settings.py. #}
{% macro labels_in_use() -%}
    {{ return(
        env_var('PODLEDGER_LABELS', 'team,cost_center,model').split(',')
        | reject('equalto', '')
        | list
    ) }}
{%- endmacro %}

{% macro method_in_use() -%}
    {{ return(env_var('PODLEDGER_METHOD', '2') | int) }}
{%- endmacro %}

{# Versions of the split. #}
{% macro methods() -%}
    {{ return([1, 2, 3]) }}
{%- endmacro %}

{% macro bases() -%}
    {{ return(['unblended', 'amortized', 'net_amortized', 'public_on_demand']) }}
{%- endmacro %}

{% macro resources() -%}
    {{ return(['accelerator', 'vcpu', 'memory']) }}
{%- endmacro %}

{# What pods pay for: storage only on Fargate, where it is billed by the pod. #}
{% macro pod_resources() -%}
    {{ return(resources() + ['storage']) }}
{%- endmacro %}

{# What Fargate bills pods for. #}
{% macro fargate_resources() -%}
    {{ return(['vcpu', 'memory', 'storage']) }}
{%- endmacro %}

{# The resource id of a pod in EKS: Region, cluster, namespace, name, uid. #}
{% macro pod_arn() -%}
    {{ return('^arn:[^:]*:eks:([^:]*):[^:]*:pod/([^/]+)/([^/]+)/([^/]+)/([^/]+)$') }}
{%- endmacro %}

{# Whether a line is use of Fargate by a pod. AWS's own split rows have such resource ids,
   too, and never bill. A line that lacks what decides it is none: null would be neither. #}
{% macro carries_pod() -%}
    coalesce(
        not is_aws_split_row
        and line_type in ('Usage', 'DiscountedUsage', 'SavingsPlanCoveredUsage')
        and product_code = 'AmazonEKS'
        and {{ regexp_like('resource_id', pod_arn()) }}
        and coalesce(operation, '') <> 'EKSPod-EC2',
        false
    )
{%- endmacro %}

{# Usage types that stand for a running instance, as a pattern; what precedes them is the
   Region's prefix, what follows the colon the instance type. #}
{% macro instance_usage() -%}
    {{ return('(BoxUsage|SpotUsage|DedicatedUsage|HostBoxUsage|HeavyUsage|ReservedHostUsage|CapacityBlockUsage)') }}
{%- endmacro %}

{# What a node-hour's cost is made of. #}
{% macro node_components() -%}
    {{ return(['instance', 'management_fee', 'host', 'reservation']) }}
{%- endmacro %}

{# The capacity reservation of a bill line: its own column where the export has it, else
   the ARN that the line is billed on. Python's twin is in orchestration/bill. #}
{% macro capacity_reservation_id() -%}
    coalesce(
        {{ regexp_extract('capacity_reservation_arn', '(cr-[0-9a-z]+)$', 1) }},
        {{ regexp_extract('resource_id', ':capacity-reservation/(cr-[0-9a-z]+)$', 1) }}
    )
{%- endmacro %}

{# The Dedicated Host that a line is billed on. #}
{% macro host_id() -%}
    {{ regexp_extract('resource_id', '(^|dedicated-host/)(h-[0-9a-f]+)$', 2) }}
{%- endmacro %}

{# Tags that only nodes of a Kubernetes cluster carry, whoever made them: EKS itself,
   eksctl, the cluster autoscaler, Karpenter, the cloud provider. #}
{% macro is_cluster_tagged(tags) -%}
    (
        {{ tag(tags, 'aws_eks_cluster_name') }} is not null
        or {{ tag(tags, 'user_eks_cluster_name') }} is not null
        or {{ tag(tags, 'user_eks_nodegroup_name') }} is not null
        or {{ tag(tags, 'user_alpha_eksctl_io_cluster_name') }} is not null
        or {{ tag(tags, 'user_karpenter_sh_nodepool') }} is not null
        or {{ has_tag_like(tags, 'user_kubernetes_io_cluster_%') }}
        or {{ has_tag_like(tags, 'user_k8s_io_cluster_autoscaler_%') }}
    )
{%- endmacro %}

{# OWNER_LABELS of orchestration/inventory/owners.py, which a test holds against this
   list. #}
{% macro owner_labels() -%}
    {{ return(['team', 'cost_center', 'model']) }}
{%- endmacro %}

{# Node labels that name a node's pool; the first that a node has counts. #}
{% macro node_pool_labels() -%}
    {{ return([
        'karpenter.sh/nodepool',
        'karpenter.sh/provisioner-name',
        'eks.amazonaws.com/nodegroup',
        'alpha.eksctl.io/nodegroup-name',
    ]) }}
{%- endmacro %}

{# Money columns of raw/bill_lines: BILL_MONEY_COLUMNS of orchestration/lake/schemas.py, which a
   test holds against this list. #}
{% macro bill_money_columns() -%}
    {{ return([
        'line_item_unblended_cost',
        'line_item_net_unblended_cost',
        'pricing_public_on_demand_cost',
        'reservation_effective_cost',
        'reservation_net_effective_cost',
        'reservation_unused_amortized_upfront_fee_for_billing_period',
        'reservation_net_unused_amortized_upfront_fee_for_billing_period',
        'reservation_unused_recurring_fee',
        'reservation_net_unused_recurring_fee',
        'savings_plan_savings_plan_effective_cost',
        'savings_plan_net_savings_plan_effective_cost',
        'savings_plan_total_commitment_to_date',
        'savings_plan_used_commitment',
        'split_line_item_split_cost',
        'split_line_item_unused_cost',
        'split_line_item_net_split_cost',
        'split_line_item_net_unused_cost',
        'split_line_item_public_on_demand_split_cost',
        'split_line_item_public_on_demand_unused_cost',
    ]) }}
{%- endmacro %}
