with

items as (

    select * from {{ ref('int_pod_costs__itemized') }}

),

tags as (

    select * from {{ ref('int_pods__tagged') }}

),

tagged as (

    select
        items.*,
        tags.resource_tags,
        case
            when items.region_code like 'us-gov-%' then 'aws-us-gov'
            when items.region_code like 'cn-%' then 'aws-cn'
            else 'aws'
        end as arn_partition,
        items.usage_hour + interval 1 hour as usage_ended_at
    from items
    left join tags
        on
            items.billing_month = tags.billing_month
            and items.usage_date = tags.usage_date
            and {{ same('items.cluster_name', 'tags.cluster_name') }}
            and {{ same('items.node_name', 'tags.node_name') }}
            and {{ same('items.namespace', 'tags.namespace') }}
            and {{ same('items.workload_type', 'tags.workload_type') }}
            and {{ same('items.workload_name', 'tags.workload_name') }}
            and {{ same('items.deployment', 'tags.deployment') }}
            and {{ same('items.nearest_controller', 'tags.nearest_controller') }}
            and items.labels = tags.labels

),

final as (

    select
        billing_month,
        usage_date,
        {{ utc_text('usage_hour') }} || '/' || {{ utc_text('usage_ended_at') }}
            as identity_time_interval,
        payer_account_id as bill_payer_account_id,
        billing_month::timestamp as bill_billing_period_start_date,
        usage_account_id as line_item_usage_account_id,
        usage_hour as line_item_usage_start_date,
        usage_ended_at as line_item_usage_end_date,
        'AmazonEKS' as line_item_product_code,
        case
            when instance_id is null then 'FargatePod'
            else 'EKSPod-EC2'
        end as line_item_operation,
        case
            when usage_type_prefix is null then ''
            -- The platform, like ARM, is no part of what storage is billed as.
            when resource = 'storage'
                then {{ regexp_extract('usage_type_prefix', '^(.*Fargate)', 1) }} || '-'
            else usage_type_prefix || '-'
        end
        || case
            when resource = 'storage' then 'EphemeralStorage-GB-Hours'
            when instance_id is null and resource = 'vcpu' then 'vCPU-Hours:perCPU'
            when instance_id is null then 'GB-Hours'
            when resource = 'accelerator' then 'EKS-EC2-Accelerator-Hours'
            when resource = 'vcpu' then 'EKS-EC2-vCPU-Hours'
            else 'EKS-EC2-GB-Hours'
        end as line_item_usage_type,
        'arn:' || arn_partition || ':eks:' || coalesce(region_code, '') || ':'
        || usage_account_id || ':pod/' || coalesce(cluster_name, '') || '/'
        || coalesce(namespace, '') || '/' || coalesce(pod_name, '') || '/' || pod_uid
            as line_item_resource_id,
        allocated_hours as line_item_usage_amount,
        region_code as product_region_code,
        resource_tags,
        instance_id as split_line_item_parent_resource_id,
        reserved_hours as split_line_item_reserved_usage,
        used_hours as split_line_item_actual_usage,
        allocated_hours as split_line_item_split_usage,
        split_usage_ratio as split_line_item_split_usage_ratio,
        amortized_split_usd as split_line_item_split_cost,
        amortized_unused_usd as split_line_item_unused_cost,
        net_amortized_split_usd as split_line_item_net_split_cost,
        net_amortized_unused_usd as split_line_item_net_unused_cost,
        public_on_demand_split_usd as split_line_item_public_on_demand_split_cost,
        public_on_demand_unused_usd as split_line_item_public_on_demand_unused_cost
    from tagged

)

select * from final
